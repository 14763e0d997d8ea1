"""Weights & Biases. Needs wandb, the extra `[wandb]`; its environment variables (WANDB_MODE, WANDB_PROJECT) apply."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import wandb

from jaxrnn.config import Config
from jaxrnn.config.flat import flatten
from jaxrnn.loggers import Write, numbers


@contextmanager
def log_to_wandb(run: Path, config: Config, _step: int) -> Iterator[Write]:
    """Log to a wandb run with the name of the run directory; a resumed run is another one of the same group."""
    project = os.environ.get("WANDB_PROJECT", "jaxrnn")
    settings = wandb.Settings(console="off")  # it would capture stdout and stderr
    with wandb.init(
        project=project, group=run.name, name=run.name, dir=run, config=flatten(config), settings=settings
    ) as session:
        yield lambda row: session.log(numbers(row), step=int(str(row["step"])))
