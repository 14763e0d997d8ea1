"""Pretraining: a new model from a config and a corpus."""

from collections.abc import Callable, Iterable
from pathlib import Path

from jaxrnn.config import Config, Overrides, load_config
from jaxrnn.parallel.devices import split_cpu
from jaxrnn.types import OnProgress
from jaxrnn.workflows.corpus import load_data
from jaxrnn.workflows.job import Job, PathLike, ignore, write_to
from jaxrnn.workflows.run import Run
from jaxrnn.workflows.training import OnEvent, train


def pretrain(
    config: str | Path | Config = "shakespeare",
    overrides: Overrides = (),
    *,
    to: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log_to: Iterable[str] = (),
    profile: PathLike | None = None,
    on_event: OnEvent = ignore,
    on_progress: OnProgress = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train a new language model, as `jaxrnn pretrain` does, without printing.

    With the same config and RNG seed on the same devices, the checkpoints are bitwise identical to those of the command
    line. If JAX has not been initialized yet, the CPU is split into the number of devices that trains fastest.

    Args:
        config: A TOML file, the name of a shipped config, or a `Config`.
        overrides: Values that replace the config's, such as `{"corpus.text": "my.txt", "train.steps": 400}`.
        to: The run directory to create; a bare name is put into `checkpoints/`. None trains in memory.
        resume: Whether to resume an existing run from its last checkpoint.
        overwrite: Whether to replace an existing run.
        log_to: Names of loggers that also receive the metrics: "tensorboard", "wandb", "mlflow", or an entry point of
            the group `jaxrnn.loggers`.
        profile: A folder for a profile of a few steps, to be opened with xprof or TensorBoard; None writes none.
        on_event: Receives each event: `Progress`, `Logged`, `Evaluated`, `Sampled`, `Save` and `Note`.
        on_progress: Receives the progress of downloads and tokenization as (task, done, total).
        should_stop: Called a few times per second; once it returns True, the state is saved and the run is returned.

    Raises:
        ConfigError: The config is not valid, or the run can't be resumed with it.
        CheckpointError: No run can be created at `to`.
        JaxrnnError: As for `workflows.load_data` and `workflows.train`.

    Example:
        >>> text = getfixture("tmp_path") / "my.txt"
        >>> _ = text.write_text("to be or not to be, " * 100)
        >>> small = {"train.batch_size": 4, "train.seq_len": 8, "model.layers.1.size": 16}
        >>> run = pretrain("shakespeare", {"corpus.text": str(text), "train.steps": 20, **small})
        >>> run.step, run.metrics["step"]
        (20, array([ 1, 20]))
    """
    job = Job(load_config(config, overrides), profile=None if profile is None else Path(profile))
    job = write_to(job, to, resume=resume, overwrite=overwrite, log_to=log_to)
    split_cpu(job.config)
    data = load_data(job, on_event=on_event, on_progress=on_progress)
    return train(job, data, on_event=on_event, should_stop=should_stop)
