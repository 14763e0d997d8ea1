"""time_to_loss: seconds until the validation loss of `jaxrnn pretrain` on tinyshakespeare is as low as 1.88 and 1.60.

Of the whole process, from its start: importing, compiling (with an empty cache), evaluating and saving are in it. The
first 90% of the text are the training split, the last 10% the validation split. A loss counts
from the moment its row is in metrics.csv.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import JAXRNN, Row, environment, watch
from benchmarks.report import spread, table
from benchmarks.settings import Settings

TARGETS = (1.88, 1.60)  # nats per character
_CONFIGS = Path(__file__).parent.parent / "configs"
_WANTED = ("fast", "two_minutes")


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a config and target; prints a table."""
    if settings.corpus is None:
        print("time_to_loss: skipped; it needs --corpus FILE, a copy of tinyshakespeare\n")
        return [{"skipped": "no corpus given"}]
    configs = [name for name in _WANTED if (_CONFIGS / f"{name}.toml").exists()] or ["shakespeare"]
    seen: dict[str, list[list[tuple[float, Row]]]] = {name: [] for name in configs}
    lasted: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(settings.rounds):
        for name in configs:
            rows, seconds = _train(settings, name, settings.corpus)
            seen[name].append(rows)
            lasted[name].append(seconds)
    found = [_row(name, target, seen[name], lasted[name]) for name in configs for target in TARGETS]
    head = ["", "validation loss", "s, whole process", "min..max", "step", "best", ""]
    print(table("time_to_loss", head, [_line(row) for row in found]), flush=True)
    return found


def first_below(rows: list[tuple[float, Row]], target: float) -> tuple[float, int] | None:
    """Return seconds and step of the first row whose validation loss is at most `target`."""
    for seconds, row in rows:
        if row["val_loss"] and float(row["val_loss"]) <= target:
            return seconds, int(row["step"])
    return None


def _train(settings: Settings, name: str, corpus: Path) -> tuple[list[tuple[float, Row]], float]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        overrides = [f"corpus.text={corpus.resolve()}", "corpus.validation_fraction=0.1"]
        if settings.quick:
            overrides += ["train.steps=4", "train.eval_every=2"]
        command = [*JAXRNN, "pretrain", str(_CONFIGS / f"{name}.toml"), "--to", str(run), "--quiet"]
        for override in overrides:
            command += ["--set", override]
        env = environment(settings.platform, cache=Path(folder) / "cache")
        lowest = min(TARGETS)
        return watch(
            command, env, run / "metrics.csv", lambda row: first_below([(0, row)], lowest) is not None
        )


def _row(
    name: str, target: float, seen: list[list[tuple[float, Row]]], lasted: list[float]
) -> dict[str, Any]:
    reached = [first for rows in seen if (first := first_below(rows, target))]
    losses = [float(row["val_loss"]) for rows in seen for _, row in rows if row["val_loss"]]
    row: dict[str, Any] = {
        "config": name,
        "target": target,
        "best_loss": min(losses),
        "process_seconds": lasted,
    }
    if len(reached) < len(seen):
        return {**row, "skipped": f"reached in {len(reached)} of {len(seen)} rounds"}
    seconds = [second for second, _ in reached]
    return {**row, "median_seconds": statistics.median(seconds), "seconds": seconds, "step": reached[0][1]}


def _line(row: dict[str, Any]) -> list[str]:
    name, target, best = row["config"], f"{row['target']:.2f}", f"{row['best_loss']:.4f}"
    if "skipped" in row:
        return [name, target, "-", "-", "-", best, row["skipped"]]
    return [name, target, f"{row['median_seconds']:.1f}", spread(row["seconds"]), str(row["step"]), best, ""]
