"""train_step: one optimizer step, ours against every peer's.

All have the same model, batch and optimizer (AdamW, clipping by the global norm), and carry their state from batch to
batch. Each runs in a process of its own, all cores at its disposal; their turns are interleaved.
"""

from typing import Any

from benchmarks.cases import Case, step_flop
from benchmarks.peers import Peer
from benchmarks.report import milliseconds, spread, table
from benchmarks.settings import Settings
from benchmarks.workers import Measured, measure


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a case and peer; prints a table a case, as soon as it is measured."""
    rows = []
    for case in settings.cases:
        found = measure(
            settings.trainers,
            "train",
            [case],
            platform=settings.platform,
            rounds=settings.rounds,
            turn_seconds=settings.turn_seconds,
        )
        rows += [to_row(case, entry) for entry in found]
        print(_table(case, settings.trainers, found), flush=True)
    return rows


def to_row(case: Case, found: Measured) -> dict[str, Any]:
    """Return the JSON record of one peer and case."""
    row: dict[str, Any] = {"case": case.name, "peer": found.peer, "gflop": step_flop(case) / 1e9}
    if found.skipped:
        return {**row, "skipped": found.skipped}
    return {
        **row,
        "median_seconds": found.median,
        "seconds": found.seconds,
        "compile_seconds": found.compile_seconds,
        "characters_per_second": case.batch * case.time / found.median,
        "last_loss": found.value,
        "detail": found.detail,
    }


def _table(case: Case, peers: tuple[Peer, ...], found: list[Measured]) -> str:
    ours = next((entry.median for entry in found if entry.peer == peers[0].name), float("nan"))
    lines = []
    for entry in found:
        if entry.skipped:
            lines.append([entry.peer, "-", "-", "-", "-", "-", entry.skipped])
            continue
        lines.append(
            [
                entry.peer,
                milliseconds(entry.median),
                spread(entry.seconds, 1e3),
                f"{entry.median / ours:.2f}",
                f"{case.batch * case.time / entry.median:,.0f}",
                f"{entry.compile_seconds:.1f}",
                entry.detail,
            ]
        )
    title = f"train_step {case.name}, {step_flop(case) / 1e9:.2f} GFLOP"
    head = ["", "ms a step", "min..max", f"x {peers[0].name}", "characters/s", "compile s", ""]
    return table(title, head, lines)
