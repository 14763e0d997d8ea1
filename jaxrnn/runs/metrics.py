"""The metrics of a run: one NumPy array per column of metrics.csv."""

import contextlib
import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn.runs.directory import METRICS_COLUMNS

Metrics = dict[str, "np.ndarray[Any, Any]"]

_TYPES: dict[str, Any] = {"step": np.int64, "tokens": np.int64, "event": str}  # the other columns are float64


def metrics_columns(rows: Iterable[Mapping[str, object]]) -> Metrics:
    """Return metrics as columns: `step` and `tokens` are integers, `event` is a string, the others are floats.

    A missing or empty value becomes NaN, or 0 in `tokens`. An incomplete row, left by a killed process, is skipped.
    """
    kept = [values for row in rows if (values := _parse(row))]
    return {
        name: np.array([values[name] for values in kept], _TYPES.get(name, np.float64))
        for name in METRICS_COLUMNS
    }


def curve(metrics: Metrics, column: str) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Return the steps at which a column has a value, and the values."""
    values = metrics[column]
    has_value = ~np.isnan(values)
    return metrics["step"][has_value], values[has_value]


def read_metrics(path: Path) -> Metrics:
    """Read a metrics.csv.

    Raises:
        OSError: The file can't be read.
    """
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return metrics_columns(csv.DictReader(file))


def seconds_trained(path: Path) -> float:
    """Return the seconds of training up to the last row of a metrics.csv; 0 if unknown."""
    with contextlib.suppress(OSError):
        for seconds in read_metrics(path)["seconds"][-1:]:
            return max(0.0, float(seconds)) if math.isfinite(seconds) else 0.0
    return 0.0


def tokens_trained(path: Path, step: int, tokens_per_step: int) -> int:
    """Return the number of tokens that a run has read up to a step, from its metrics.csv.

    Args:
        path: The file, with no rows after this step.
        step: The step.
        tokens_per_step: Tokens per step since the last row.
    """
    with contextlib.suppress(OSError):
        metrics = read_metrics(path)
        if metrics["step"].size:
            return int(metrics["tokens"][-1]) + (step - int(metrics["step"][-1])) * tokens_per_step
    return step * tokens_per_step


def _parse(row: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the values of a row by column; None if the row is incomplete."""
    try:
        numbers: dict[str, Any] = {name: _number(row.get(name)) for name in METRICS_COLUMNS[:-1]}
        numbers |= {"step": int(str(row["step"])), "tokens": int(str(row.get("tokens") or 0))}
    except (KeyError, ValueError):
        return None
    return numbers | {"event": row.get("event") or ""}


def _number(value: object) -> float:
    return math.nan if value is None or value == "" else float(str(value))
