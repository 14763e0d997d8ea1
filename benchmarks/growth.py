"""growth: the time per character as one size at a time grows.

In training: the hidden size (its cost grows with the square, so the speed in GFLOP/s is the number to watch), the
batch, the time steps and the size of the text, of which a step's cost must not depend at all. In sampling: the length
of the text so far, which must not matter either.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.cases import Case, step_flop
from benchmarks.peers import OURS
from benchmarks.report import spread, table
from benchmarks.settings import Settings
from benchmarks.workers import Measured, measure

_BASE = Case(192, 192, 1, 32, 32)
_HIDDEN = (64, 128, 256, 512, 1024)
_BATCH = (8, 16, 32, 64, 128, 256)
_TIME = (16, 32, 64, 128, 256, 512)
_CHARACTERS = (1_000_000, 10_000_000, 100_000_000)
_LENGTHS = (250, 1000, 4000)


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a size; prints a table for each thing that grows."""
    groups: dict[str, list[Case]] = {
        "hidden": [replace(_BASE, embedding=size, hidden=size) for size in _HIDDEN],
        "batch": [replace(_BASE, batch=batch) for batch in _BATCH],
        "time": [replace(_BASE, time=time) for time in _TIME],
        "characters": [replace(_BASE, characters=characters) for characters in _CHARACTERS],
    }
    rows = []
    for name, cases in groups.items():
        chosen = cases[:2] if settings.quick else cases
        found = measure(
            [OURS],
            "train",
            chosen,
            platform=settings.platform,
            rounds=settings.rounds,
            turn_seconds=settings.turn_seconds / 2,
        )
        rows += _show(name, [_train_row(name, *pair) for pair in zip(chosen, found, strict=True)])
    return rows + _show("length of a sample", _sample_rows(settings))


def _train_row(name: str, case: Case, found: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {"grows": name, "size": getattr(case, name)}
    if found.skipped:
        return {**row, "skipped": found.skipped}
    characters = case.batch * case.time
    row |= {"seconds_per_character": [seconds / characters for seconds in found.seconds]}
    return {**row, "median": found.median / characters, "gflops": step_flop(case) / found.median / 1e9}


def _sample_rows(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for length in _LENGTHS[:2] if settings.quick else _LENGTHS:
        (found,) = measure(
            [OURS],
            "sample",
            [replace(_BASE, batch=1)],
            platform=settings.platform,
            rounds=settings.rounds,
            count=length,
        )
        row: dict[str, Any] = {"grows": "sample", "size": length, "skipped": found.skipped}
        if not found.skipped:
            row = {"grows": "sample", "size": length, "seconds_per_character": found.seconds}
            row["median"] = found.median
        rows.append(row)
    return rows


def _show(name: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = []
    for row in rows:
        if row.get("skipped"):
            lines.append([f"{row['size']:,}", "-", "-", "-", "-", row["skipped"]])
            continue
        cost, first = row["median"], rows[0].get("median", float("nan"))
        speed = f"{row['gflops']:.1f}" if "gflops" in row else ""
        lines.append(
            [
                f"{row['size']:,}",
                f"{cost * 1e6:.3g}",
                spread(row["seconds_per_character"], 1e6),
                f"{cost / first:.2f}",
                speed,
                "",
            ]
        )
    head = [name, "us a character", "min..max", "x first", "GFLOP/s", ""]
    print(table(f"growth, {name}", head, lines), flush=True)
    return list(rows)
