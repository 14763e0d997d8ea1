"""How much of a text is copied from another: what a model wrote from what it was trained on.

Every string of n characters of the text is looked for in the source. Only the text's strings are held in memory,
whatever the length of the source, which is gone through once for each n.
"""

from typing import NamedTuple

LENGTHS = (16, 32, 64)


class Copied(NamedTuple):
    """What of a text stands in a source."""

    shares: dict[
        int, float
    ]  # by length: the share of the text's strings of this length that stand in the source
    longest: str  # the longest passage that does; of several the first


def copied(text: str, source: str) -> Copied:
    """Looks for the strings of a text in a source.

    Args:
        text: what may have been copied.
        source: what from.
    """
    return Copied({n: _share(text, source, n) for n in LENGTHS}, _longest(text, source))


def _share(text: str, source: str, n: int) -> float:
    if len(text) < n:
        return 0.0
    common = _common(text, source, n)
    starts = range(len(text) - n + 1)
    return sum(text[i : i + n] in common for i in starts) / len(starts)


def _common(text: str, source: str, n: int) -> set[str]:
    """The strings of n characters that stand in both."""
    strings = {text[i : i + n] for i in range(len(text) - n + 1)}
    return {string for i in range(len(source) - n + 1) if (string := source[i : i + n]) in strings}


def _longest(text: str, source: str) -> str:
    """By bisection: whoever copied a passage copied all shorter ones in it."""
    least, most = 0, min(len(text), len(source))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if _common(text, source, middle) else (least, middle - 1)
    common = _common(text, source, least)
    return next((text[i : i + least] for i in range(len(text)) if text[i : i + least] in common), "")
