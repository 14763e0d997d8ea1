"""The run that a training writes: a new one, or one that is there and goes on."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from jaxrnn.config import Config
    from jaxrnn.data.vocabulary import Vocabulary
    from jaxrnn.runs.directory import RunRecord


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
    from jaxrnn.runs.creation import RunExistsError, check_destination
    from jaxrnn.runs.directory import is_run, read_record
    from jaxrnn.runs.loading import read_resolved
    from jaxrnn.runs.resume import check_resumable

    if resume and overwrite:
        raise typer.BadParameter("can't be combined with --overwrite", param_hint="'--resume'")
    if resume and is_run(run):
        record, (begun, vocabulary) = read_record(run), read_resolved(run)
        check_has_text(run, record, f"to go on from it: jaxrnn finetune --from {run} --corpus TEXT")
        return Begun(record, begun, vocabulary, check_resumable(run, begun, config))
    try:
        check_destination(run, overwrite=overwrite)
    except RunExistsError:
        ways = "--resume goes on with it, --overwrite replaces it, --to RUN writes elsewhere"
        raise CheckpointError(f"{run}: a run exists here; {ways}") from None
    return None


def check_has_text(run: Path, record: "RunRecord", remedy: str = "") -> None:
    """Refuses a run that has no text of its own.

    Raises:
        CorpusError: It was imported; the message ends in the remedy, where there is one.
    """
    from jaxrnn.errors import CorpusError

    if record.imported_from:
        ending = f"; {remedy}" if remedy else ""
        raise CorpusError(f"{run}: was imported, and has no text of its own{ending}")
