"""Notes about the checkpoint that a command uses."""

from pathlib import Path
from typing import TYPE_CHECKING

import jaxrnn
from jaxrnn_cli.display.console import note

if TYPE_CHECKING:
    from jaxrnn.runs.saved_steps import Which


def note_checkpoint(run: Path, checkpoint: "Which") -> None:
    """Print which checkpoint is used if it is not the last, and which corrupt checkpoints are skipped."""
    for step in jaxrnn.runs.damaged_steps(run):
        note(f"{run}: step {step:,} is corrupt and skipped")
    used, last = (jaxrnn.runs.find_step(run, which) for which in (checkpoint, "last"))
    if used.step != last.step:
        kind = "the best, " if checkpoint == "best" else ""
        loss = "" if used.val_loss is None else f" (validation loss {used.val_loss:.4f} nats)"
        note(f"{run}: {kind}step {used.step:,}{loss}; the last is step {last.step:,}")
