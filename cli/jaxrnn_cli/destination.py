"""The run that a training writes: a new one, or one that is there and goes on."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from jaxrnn.config import Config
    from jaxrnn.run_directory import RunRecord
    from jaxrnn.vocabulary import Vocabulary


class Begun(NamedTuple):
    """A run that has begun and goes on."""

    record: "RunRecord"
    config: "Config"
    vocabulary: "Vocabulary"
    changes: list[str]  # what differs in the config that it is to go on with


def open_destination(run: Path, config: "Config", *, resume: bool, overwrite: bool) -> Begun | None:
    """Returns the run that goes on, or None where a new one can be made; writes nothing.

    Raises:
        CheckpointError: No run can be made there, or the one that is there can't be read.
        ConfigError: The run can't go on with this config.
        typer.BadParameter: Both were asked for.
    """
    from jaxrnn.errors import CheckpointError
    from jaxrnn.new_run import RunExistsError, check_destination
    from jaxrnn.resuming import check_resumable
    from jaxrnn.run_directory import is_run, read_record
    from jaxrnn.trained import read_resolved

    if resume and overwrite:
        raise typer.BadParameter("can't be combined with --overwrite", param_hint="'--resume'")
    if resume and is_run(run):
        record, (begun, vocabulary) = read_record(run), read_resolved(run)
        return Begun(record, begun, vocabulary, check_resumable(run, begun, config))
    try:
        check_destination(run, overwrite=overwrite)
    except RunExistsError:
        ways = "--resume goes on with it, --overwrite replaces it, --to RUN writes elsewhere"
        raise CheckpointError(f"{run}: a run exists here; {ways}") from None
    return None
