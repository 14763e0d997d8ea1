"""Options that name runs and checkpoints, with completion."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxrnn.config import shipped_configs
from jaxrnn.errors import did_you_mean

_CHECKPOINTS = ("best", "last")

# Completion only lists names and does not import jax, so that it is fast.


def complete_config(incomplete: str) -> list[str]:
    """Return the shipped configs that start with `incomplete`; without a match, shells complete file names."""
    return [name for name in shipped_configs() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in `checkpoints/` whose names start with `incomplete`."""
    return sorted(
        record.parent.name
        for record in Path("checkpoints").glob("*/run.json")
        if record.parent.name.startswith(incomplete)
    )


FromRun = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="A run directory, or the name of one in checkpoints/.  [default: the newest]",
        autocompletion=complete_run,
    ),
]


def _parse_checkpoint(text: str) -> str | int:
    if text in _CHECKPOINTS:
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    raise typer.BadParameter(f"{text!r} is not best, last or a step{did_you_mean(text, _CHECKPOINTS)}")


# A `Which` in fact, but typer has no unions.
OfCheckpoint = Annotated[
    Any,
    typer.Option(
        "--checkpoint",
        metavar="best|last|STEP",
        parser=_parse_checkpoint,
        help="The checkpoint: the best by validation loss, the last, or the one saved at a step.",
        autocompletion=lambda: list(_CHECKPOINTS),
    ),
]


def name_runs(runs: Iterable[Path]) -> dict[Path, str]:
    """Return a distinct name for each run without duplicates: its folder's name, or its path if names collide."""
    found = list(dict.fromkeys(run.resolve() for run in runs))
    names = [run.name for run in found]
    return {run: run.name if names.count(run.name) == 1 else str(run) for run in found}
