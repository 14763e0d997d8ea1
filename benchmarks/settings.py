"""The settings of a run of the benchmarks."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.peers import Peer


@dataclass(frozen=True)
class Settings:
    """The command line, resolved."""

    platform: str  # cpu or gpu
    rounds: int
    quick: bool  # tiny sizes, to see that everything runs
    corpus: Path | None  # tinyshakespeare, for time_to_loss
    cases: tuple[Case, ...]  # the training steps to measure
    trainers: tuple[Peer, ...]  # the implementations that train; ours first

    @property
    def turn_seconds(self) -> float:
        """How long a worker's turn lasts."""
        return 0.1 if self.quick else 1.0
