"""The parent's side of the workers: start them, send them tasks one after the other, and collect their answers."""

import json
import math
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.peers import Peer
from benchmarks.processes import environment

_SETTLE = 0.25  # seconds between two turns: OpenMP's threads spin up to 0.2 s after their work
_PATIENCE = 600.0  # seconds for one answer, compiling included


class WorkerError(Exception):
    """A worker failed; the text says why."""


class Worker:
    """A process that runs one implementation of one case.

    Raises, in all its methods:
        WorkerError: A package is missing, the implementation fails, or it takes too long.
    """

    def __init__(self, platform: str) -> None:
        """Starts the process; `platform` is `cpu` or `gpu`."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(platform),
            cwd=Path(__file__).parent.parent,
        )

    def start(self, peer: Peer, kind: str, case: Case) -> str:
        """Prepares the peer's `kind` (train, sample, ...); returns how it is done, where there was a choice."""
        request = {"do": "start", "module": peer.module, "kind": kind, "case": asdict(case)}
        return str(self._ask({**request, "options": dict(peer.options)})["detail"])

    def run(self, count: int) -> tuple[float, float]:
        """Runs so many steps; returns their seconds and a value, the last loss say."""
        answer = self._ask({"do": "run", "count": count})
        return float(answer["seconds"]), float(answer["value"])

    def memory(self) -> tuple[int, int]:
        """Peak resident memory in bytes: until now, and when the libraries had been imported."""
        answer = self._ask({"do": "memory"})
        return int(answer["peak"]), int(answer["imported"])

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            raise WorkerError(f"no answer within {_PATIENCE:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise WorkerError(f"{answer['missing']} is not installed")
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines() or [""]
        return f"the worker ended with status {status}: {lines[-1]}"


@dataclass
class Measured:
    """The result of one peer on one case: `seconds` per step of each round, or the reason why it failed."""

    peer: str
    case: str
    detail: str = ""
    compile_seconds: float = math.nan
    seconds: list[float] = field(default_factory=list)
    value: float = math.nan
    skipped: str = ""

    @property
    def median(self) -> float:
        """Return the median of the rounds; NaN without any."""
        return statistics.median(self.seconds) if self.seconds else math.nan


def measure(
    peers: Sequence[Peer],
    kind: str,
    cases: Sequence[Case],
    *,
    platform: str,
    rounds: int,
    turn_seconds: float = 1.0,
    count: int = 0,
) -> list[Measured]:
    """Time every peer on every case, their turns interleaved: round by round, each in its turn.

    Args:
        peers: the implementations.
        kind: which function of theirs is measured.
        cases: on which models; with all their workers alive at once.
        platform: `cpu` or `gpu`.
        rounds: how often each has its turn.
        turn_seconds: how long a turn should last.
        count: steps (or characters) a turn; 0 for as many as fit in it.

    Returns:
        One entry for each case and peer, in this order.
    """
    found = [Measured(peer.name, case.name) for case in cases for peer in peers]
    pairs = [(case, peer) for case in cases for peer in peers]
    workers = {index: Worker(platform) for index in range(len(pairs))}
    counts: dict[int, int] = {}
    try:
        for index, (case, peer) in enumerate(pairs):
            try:
                counts[index] = _warm_up(workers[index], found[index], peer, kind, case, turn_seconds, count)
            except WorkerError as error:
                found[index].skipped = str(error)
        for number in range(rounds):
            turns = [index for index in counts if not found[index].skipped]
            start = number % max(1, len(turns))  # nobody is always the first, or always after the same
            for index in turns[start:] + turns[:start]:
                _take_turn(workers[index], found[index], counts[index])
    finally:
        for worker in workers.values():
            worker.close()
    return found


def _warm_up(
    worker: Worker, found: Measured, peer: Peer, kind: str, case: Case, turn_seconds: float, count: int
) -> int:
    """Compiles, and returns how many steps a turn has."""
    found.detail = worker.start(peer, kind, case)
    first, _ = worker.run(1)
    again, _ = worker.run(1)
    found.compile_seconds = max(0.0, first - again)
    if count:
        worker.run(count)  # may compile more than a single step did
    else:
        trial = max(1, min(20, int(0.2 / again)))
        seconds, _ = worker.run(trial)
        count = max(1, min(10_000, round(turn_seconds * trial / seconds)))
    time.sleep(_SETTLE)
    return count


def _take_turn(worker: Worker, found: Measured, count: int) -> None:
    try:
        seconds, found.value = worker.run(count)
        found.seconds.append(seconds / count)
    except WorkerError as error:
        found.skipped, found.seconds = str(error), []
    time.sleep(_SETTLE)
