"""How results are shown: tables on the terminal, everything in JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title and aligned columns: the first and the last to the left, numbers between to the right.

    >>> print(table("seconds", ["", "a", ""], [["one", "1.0", "x"], ["ten", "10.0", "y"]]))
    seconds
             a
      one   1.0  x
      ten  10.0  y
    <BLANKLINE>
    """
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    lines = [title]
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if index in (0, len(row) - 1) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """With three digits, or all those before the point: `0.123`, `83.1`, `12,345`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds: `83.1`."""
    return number(seconds * 1e3)


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The least and the most of the rounds: `81.2..90.5`."""
    return f"{number(min(values) * scale)}..{number(max(values) * scale)}" if values else "-"


def write_json(
    path: Path, machine: dict[str, Any], settings: dict[str, Any], results: dict[str, Any]
) -> None:
    """Write every round of every measurement, and the description of the machine."""
    content = {"machine": machine, "settings": settings, "results": results}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
