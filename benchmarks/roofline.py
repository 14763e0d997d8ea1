"""roofline: the share of the peak of the machine that a training step reaches.

The peak is the speed of large matrix products on all cores, the best of a few sizes, measured in the same rounds. The
step's operations are counted from the model (`cases.step_flop`), not from what is executed.
"""

from typing import Any

from benchmarks.cases import step_flop
from benchmarks.peers import GEMMS, OURS
from benchmarks.report import milliseconds, spread, table
from benchmarks.settings import Settings
from benchmarks.workers import measure


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a case; prints a table."""
    rows = []
    for case in settings.cases:
        ours, *products = measure(
            [OURS, *GEMMS],
            "train",
            [case],
            platform=settings.platform,
            rounds=settings.rounds,
            turn_seconds=settings.turn_seconds,
        )
        peaks = [
            2 * peer.options["size"] ** 3 / found.median / 1e9
            for peer, found in zip(GEMMS, products, strict=True)
            if found.seconds
        ]
        row: dict[str, Any] = {"case": case.name, "gflop": step_flop(case) / 1e9}
        if ours.skipped or not peaks:
            rows.append({**row, "skipped": ours.skipped or products[0].skipped})
            continue
        speed = row["gflop"] / ours.median
        row |= {"seconds": ours.seconds, "median_seconds": ours.median, "gflops": speed}
        rows.append({**row, "peak_gflops": max(peaks), "share": speed / max(peaks)})
    head = ["", "GFLOP", "ms a step", "min..max", "GFLOP/s", "peak", "share", ""]
    print(table("roofline", head, [_line(row) for row in rows]), flush=True)
    return rows


def _line(row: dict[str, Any]) -> list[str]:
    start = [row["case"], f"{row['gflop']:.2f}"]
    if "skipped" in row:
        return [*start, "-", "-", "-", "-", "-", row["skipped"]]
    step = [milliseconds(row["median_seconds"]), spread(row["seconds"], 1e3)]
    return [*start, *step, f"{row['gflops']:.0f}", f"{row['peak_gflops']:.0f}", f"{row['share']:.0%}", ""]
