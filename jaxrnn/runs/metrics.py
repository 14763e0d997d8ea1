"""The metrics of a run as columns: one NumPy array for each column of metrics.csv."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn.runs.directory import METRICS_COLUMNS

Metrics = dict[str, "np.ndarray[Any, Any]"]


def metrics_columns(rows: Iterable[Mapping[str, object]]) -> Metrics:
    """Return the columns of rows of metrics: `step` and `tokens` are integers, `event` is text, the others are floats.

    A value that is missing or empty is NaN. A row without a step, cut off by a killed process, is left out.
    """
    kept = [row for row in rows if _is_whole(row)]
    columns: Metrics = {}
    for name in METRICS_COLUMNS:
        values = [row.get(name) for row in kept]
        if name == "event":
            columns[name] = np.array([value or "" for value in values], str)
        elif name in ("step", "tokens"):
            columns[name] = np.array([int(str(value or 0)) for value in values], np.int64)
        else:
            columns[name] = np.array([_number(value) for value in values], np.float64)
    return columns


def read_metrics(path: Path) -> Metrics:
    """Read a metrics.csv.

    Raises:
        OSError: The file can't be read.
    """
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return metrics_columns(csv.DictReader(file))


def _is_whole(row: Mapping[str, object]) -> bool:
    try:
        int(str(row["step"]))
        int(str(row.get("tokens") or 0))
        for name in METRICS_COLUMNS[2:-1]:
            _number(row.get(name))
    except (KeyError, ValueError):
        return False
    return True


def _number(value: object) -> float:
    return math.nan if value is None or value == "" else float(str(value))
