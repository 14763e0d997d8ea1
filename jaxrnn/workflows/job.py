"""The specification of a training run: its config, its run directory, and the run that it resumes."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from jaxrnn.config import Config
from jaxrnn.data.coverage import OnUnknown
from jaxrnn.data.sources import named_paths
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import CheckpointError, ConfigError, CorpusError
from jaxrnn.loggers import find_logger
from jaxrnn.runs.creation import RunExistsError, check_destination
from jaxrnn.runs.directory import (
    RunRecord,
    find_destination,
    is_run,
    read_config,
    read_record,
    read_vocabulary,
)
from jaxrnn.runs.resume import check_resumable
from jaxrnn.runs.saved_steps import Which

PathLike: TypeAlias = str | os.PathLike[str]


class Note(NamedTuple):
    """An event of a workflow: a one-line message to the user."""

    message: str


OnNote: TypeAlias = Callable[[Note], None]


def ignore(_event: object) -> None:
    """Do nothing; the default callback."""


class Begun(NamedTuple):
    """A run that is resumed."""

    record: RunRecord
    config: Config
    vocabulary: Vocabulary
    changes: list[str]  # the changes of the config


class Job(NamedTuple):
    """A training run before it starts or resumes; nothing is written yet."""

    config: Config
    path: Path | None = None  # the run directory; None trains in memory
    begun: Begun | None = None  # the run that is resumed
    source: Path | None = None  # the run that is fine-tuned
    checkpoint: Which = "best"  # of the run that is fine-tuned
    on_unknown: OnUnknown = "extend"
    overwrite: bool = False
    log_to: tuple[str, ...] = ()  # names of loggers for the metrics
    profile: Path | None = None  # a folder for a profile of a few steps


def write_to(
    job: Job,
    to: PathLike | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    log_to: Iterable[str] = (),
) -> Job:
    """Return the job with the run directory that it creates or resumes; write nothing.

    Args:
        job: The training run.
        to: A path, or a bare name inside `checkpoints/`; None trains in memory.
        resume: Whether to resume an existing run with the job's config; a missing run is created.
        overwrite: Whether to replace an existing run.
        log_to: Names of loggers that also receive the metrics, for example "tensorboard".

    Raises:
        CheckpointError: No run can be created at `to`, or the existing run can't be read.
        ConfigError: The run can't resume with this config, `resume` and `overwrite` are both given, or a logger does
            not exist.
    """
    if resume and overwrite:
        raise ConfigError("--resume: can't be combined with --overwrite; choose one")
    log_to = tuple(dict.fromkeys(log_to))
    for name in log_to:
        find_logger(name)
    if to is None:
        if log_to:
            raise ConfigError(f"--log-to {log_to[0]}: needs a run directory, --to RUN")
        return job
    run = find_destination(os.fspath(to))
    if job.source and run.resolve() == job.source.resolve():
        raise CheckpointError(f"{run}: is the run to fine-tune; name another one with --to RUN")
    job = job._replace(path=run, overwrite=overwrite, log_to=log_to)
    if resume and is_run(run):
        record, begun, vocabulary = read_record(run), read_config(run), read_vocabulary(run)
        if record.imported_from:
            remedy = f"to train it further: jaxrnn finetune --from {run} --corpus TEXT"
            raise CorpusError(f"{run}: was imported, and has no corpus of its own; {remedy}")
        changes = check_resumable(run, begun, job.config)
        if job.source:
            _check_source(run, record, job.source, job.checkpoint)
        return job._replace(begun=Begun(record, begun, vocabulary, changes))
    inputs = named_paths(job.config.corpus.text) + ([job.source] if job.source else [])
    try:
        check_destination(run, overwrite=overwrite, inputs=inputs)
    except RunExistsError:
        ways = "--resume continues it, --overwrite replaces it, --to RUN writes elsewhere"
        raise CheckpointError(f"{run}: a run exists here; {ways}") from None
    return job


def _check_source(run: Path, record: RunRecord, source: Path, checkpoint: Which) -> None:
    if not record.history:
        raise CheckpointError(f"{run}: was pretrained, not fine-tuned; name another run with --to RUN")
    before = record.history[-1].run
    if Path(before).name != source.resolve().name:  # the folders above may have been moved
        raise CheckpointError(
            f"{run}: was fine-tuned from {before}, not from {source}; name another run with --to RUN"
        )
    step = record.history[-1].step
    if isinstance(checkpoint, int) and checkpoint != step:
        raise CheckpointError(
            f"{run}: was fine-tuned from step {step}, not {checkpoint}; name another run with --to RUN"
        )
