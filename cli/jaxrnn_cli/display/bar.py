"""The progress bar of a training run: one line that fits any terminal."""

from collections.abc import Sequence

_SHORTEST_BAR = 5  # columns; a shorter one is left out
_LONGEST_BAR = 40
_GAP = 2  # columns between two parts


def bar_line(width: int, done: int, total: int, parts: Sequence[str], left: str, full: str = "━") -> str:
    """Return the count, a bar, the parts that fit, and the time left, in at most `width` columns.

    Args:
        width: of the terminal, in columns.
        done: steps so far.
        total: steps of the run.
        parts: the most important first; the first that does not fit ends the list.
        left: the time left; "" if unknown.
        full: the character of the bar.
    """
    count = f"{done}/{total}"
    shown: list[str] = []
    for part in parts:
        if len(_join(count, "", shown, part, left)) > width:
            break
        shown.append(part)
    room = width - len(_join(count, "", shown, left)) - _GAP
    size = min(room, _LONGEST_BAR)
    bar = (full * (size * min(done, total) // max(total, 1))).ljust(size) if size >= _SHORTEST_BAR else ""
    return _join(count, bar, shown, left)[:width]


def _join(count: str, bar: str, shown: Sequence[str], *more: str) -> str:
    return (" " * _GAP).join(part for part in (count, bar, *shown, *more) if part)
