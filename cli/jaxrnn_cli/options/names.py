"""The options that name runs and configs, with completion."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxrnn.config import shipped_configs
from jaxrnn.errors import did_you_mean

_CHECKPOINTS = ("best", "last")

# Completion runs at every tab: it looks at names alone and imports no jax.


def complete_config(incomplete: str) -> list[str]:
    """Return the shipped configs that start like this; with none, a shell goes on to files."""
    return [name for name in shipped_configs() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Return the runs in `checkpoints/` whose names start like this."""
    return sorted(
        record.parent.name
        for record in Path("checkpoints").glob("*/run.json")
        if record.parent.name.startswith(incomplete)
    )


# The run that a command is about.
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
    raise typer.BadParameter(
        f"{text!r} is neither best nor last nor a step{did_you_mean(text, _CHECKPOINTS)}"
    )


# The checkpoint of the run that a command is about: a `Which`, as typer knows no unions.
OfCheckpoint = Annotated[
    Any,
    typer.Option(
        "--checkpoint",
        metavar="best|last|STEP",
        parser=_parse_checkpoint,
        help="Which checkpoint of the run: the best by validation loss, the last, or that of a step.",
        autocompletion=lambda: list(_CHECKPOINTS),
    ),
]


def name_runs(runs: Iterable[Path]) -> dict[Path, str]:
    """Return what to call runs that are shown together, each once: by their folders where these differ."""
    found = list(dict.fromkeys(run.resolve() for run in runs))
    names = [run.name for run in found]
    return {run: run.name if names.count(run.name) == 1 else str(run) for run in found}
