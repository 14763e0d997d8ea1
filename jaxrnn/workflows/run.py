"""The result of a training run: its metrics and saved models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxrnn.config import Config
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.runs.loading import load
from jaxrnn.runs.metrics import Metrics, curve
from jaxrnn.runs.saved_steps import SavedStep, Which, choose
from jaxrnn.runs.saving import Restored
from jaxrnn.training.averaging import averaged
from jaxrnn.training.state import TrainState

SavedStates: TypeAlias = Mapping[int, tuple[TrainState, float | None]]  # by step, with validation losses


class Run(NamedTuple):
    """A training run that has ended, or was stopped.

    Example:
        >>> run = getfixture("run")  # returned by `jaxrnn.pretrain`
        >>> steps, losses = run.curve("val_loss")
        >>> steps, losses.shape
        (array([ 4,  8, 12]), (3,))
        >>> run.model().vocabulary.size
        7
    """

    config: Config
    vocabulary: Vocabulary
    metrics: Metrics  # arrays by column of metrics.csv; losses in nats per token, NaN: none
    path: Path | None  # the run directory; None if trained in memory
    step: int  # of the last checkpoint
    states: SavedStates  # in memory: the last state, the best, and those of `train.keep_every`

    def model(self, checkpoint: Which = "best") -> LanguageModel:
        """Return a trained model of this run: the best by validation loss, the last, or the one of a saved step.

        Raises:
            CheckpointError: The checkpoint does not exist.
        """
        if self.path is not None:
            return load(self.path, checkpoint)
        step = _choose(self.states, checkpoint).step
        state, _ = self.states[step]
        return LanguageModel(self.config.model, averaged(state.params, state.average), self.vocabulary)

    def curve(self, column: str) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """Return the steps at which a column of the metrics has a value, and the values, to be plotted."""
        return curve(self.metrics, column)

    def __repr__(self) -> str:
        _, losses = self.curve("val_loss")
        loss = f", validation loss {losses[-1]:.4f} nats" if losses.size else ""
        return f"Run({self.path or 'in memory'}, step {self.step}{loss})"


def _choose(states: Mapping[int, "tuple[Any, float | None]"], which: Which) -> SavedStep:
    return choose([SavedStep(step, loss) for step, (_, loss) in sorted(states.items())], which)


class MemoryCheckpoints:
    """In-memory checkpoints with the interface of `runs.saving.Checkpoints`; only one last checkpoint is kept."""

    def __init__(self, keep_every: int) -> None:
        """Start without checkpoints."""
        self.states: dict[int, tuple[TrainState, float | None]] = {}
        self._keep_every = keep_every

    @property
    def last(self) -> SavedStep | None:
        """The last checkpoint."""
        return _choose(self.states, "last") if self.states else None

    @property
    def best(self) -> SavedStep | None:
        """The checkpoint with the lowest validation loss."""
        return _choose(self.states, "best") if self.states else None

    def save(self, step: int, state: TrainState, val_loss: float | None = None) -> None:
        """Save a state; keep the best one too, and those of every `keep_every` steps."""
        self.states[step] = state, val_loss
        kept = {step, _choose(self.states, "best").step}
        if self._keep_every:
            kept |= {step for step in self.states if step % self._keep_every == 0}
        self.states = {step: saved for step, saved in self.states.items() if step in kept}

    def restore(self, _abstract: Any) -> Restored:
        """Return the last state."""
        step = _choose(self.states, "last").step
        return Restored(self.states[step][0], step, {}, ())

    def wait(self) -> None:
        """Do nothing: saves are synchronous."""

    def check_in_place(self) -> None:
        """Do nothing: there is no directory."""
