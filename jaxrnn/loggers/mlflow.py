"""MLflow. Needs mlflow, the extra `[mlflow]`; its variables (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME) apply."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from jaxrnn.config import Config
from jaxrnn.config.flat import flatten
from jaxrnn.loggers import Write, numbers


@contextmanager
def log_to_mlflow(run: Path, config: Config, _step: int) -> Iterator[Write]:
    """Log to an MLflow run with the name of the run directory; a resumed run is another one of that name."""
    # MLflow allows no brackets in the name of a parameter.
    params = {key.replace("[", ".").replace("]", ""): value for key, value in flatten(config).items()}
    with mlflow.start_run(run_name=run.name):
        mlflow.log_params(params)
        yield lambda row: mlflow.log_metrics(numbers(row), step=int(str(row["step"])))
