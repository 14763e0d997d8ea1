"""sample: characters/s and the latency of the first one, compared with PyTorch.

Both carry their state from character to character, draw at temperature 0.8, and have read a seed of one character. The
first character's latency is that of a call for a single one, compiled before.
"""

from typing import Any

from benchmarks.cases import Case
from benchmarks.peers import OURS, TORCH_SAMPLER
from benchmarks.report import milliseconds, spread, table
from benchmarks.settings import Settings
from benchmarks.workers import Measured, measure

_MODELS = ((192, 1), (512, 2))  # units, layers


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a model, number of samples and peer; prints a table a case."""
    models, length = (((16, 1),), 100) if settings.quick else (_MODELS, 1000)
    cases = [Case(size, size, layers, batch, 1) for size, layers in models for batch in (1, 64)]
    rows = []
    for case in cases:
        whole, first = (
            measure(
                [OURS, TORCH_SAMPLER],
                "sample",
                [case],
                platform=settings.platform,
                rounds=settings.rounds,
                count=count,
            )
            for count in (length, 1)
        )
        new = [_row(case, length, *pair) for pair in zip(whole, first, strict=True)]
        title = f"sample {new[0]['model']}, {case.batch} of {length} characters"
        head = ["", "characters/s", "min..max", "first, ms", "compile s", ""]
        print(table(title, head, [_line(row) for row in new]), flush=True)
        rows += new
    return rows


def _row(case: Case, length: int, whole: Measured, first: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {"model": f"{case.cell}-{case.hidden}x{case.layers}", "samples": case.batch}
    row |= {"peer": whole.peer, "length": length}
    if skipped := whole.skipped or first.skipped:
        return {**row, "skipped": skipped}
    return {
        **row,
        "characters_per_second": case.batch / whole.median,
        "rounds_characters_per_second": [case.batch / seconds for seconds in whole.seconds],
        "first_character_seconds": first.median,
        "rounds_first_character_seconds": first.seconds,
        "compile_seconds": first.compile_seconds,
        "detail": whole.detail,
    }


def _line(row: dict[str, Any]) -> list[str]:
    if "skipped" in row:
        return [row["peer"], "-", "-", "-", "-", row["skipped"]]
    speed, speeds = row["characters_per_second"], row["rounds_characters_per_second"]
    first = milliseconds(row["first_character_seconds"])
    return [
        row["peer"],
        f"{speed:,.0f}",
        spread(speeds),
        first,
        f"{row['compile_seconds']:.1f}",
        row["detail"],
    ]
