"""The steps of a run that are saved, and which of them is the last and which the best."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxrnn.disk import reason
from jaxrnn.errors import CheckpointError
from jaxrnn.runs.directory import STEPS
from jaxrnn.runs.manifest import read_manifest

Which = Literal["last", "best"]


class SavedStep(NamedTuple):
    """A checkpoint that is on the disk."""

    step: int
    val_loss: float | None  # nats per character; None: not evaluated at this step


def list_steps(run: Path) -> list[SavedStep]:
    """Returns the checkpoints of a run, the oldest first.

    Raises:
        CheckpointError: there is none, or one is damaged.
    """
    steps = run / STEPS
    while numbers := step_numbers(steps):
        try:
            return [SavedStep(step, read_manifest(steps, step).val_loss) for step in numbers]
        except CheckpointError:
            if step_numbers(steps) == numbers:
                raise
            # A training that goes on has replaced a checkpoint since we looked.
    raise CheckpointError(f"{steps}: no checkpoint here")


def find_step(run: Path, which: Which = "best") -> SavedStep:
    """Returns the last checkpoint of a run, or the best: the one with the lowest validation loss.

    Where no checkpoint was evaluated, the best is the last.

    Raises:
        CheckpointError: there is none, or one is damaged.
    """
    return choose(list_steps(run), which)


def choose(steps: Sequence[SavedStep], which: Which) -> SavedStep:
    """Returns the last or the best of these steps, the oldest first; of equally good ones the oldest."""
    evaluated = [saved for saved in steps if saved.val_loss is not None]
    if which == "best" and evaluated:
        return min(evaluated, key=lambda saved: saved.val_loss or 0.0)
    return steps[-1]


def step_numbers(steps: Path) -> list[int]:
    """Returns the steps that the folder `steps` has checkpoints of, in order, without looking into them.

    Raises:
        CheckpointError: there is no such folder, or it can't be read.
    """
    try:
        return sorted(int(path.name) for path in steps.iterdir() if re.fullmatch(r"0|[1-9][0-9]*", path.name))
    except OSError as error:
        raise CheckpointError(f"{steps}: no checkpoints here: {reason(error)}") from error
