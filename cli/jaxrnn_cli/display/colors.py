"""Surprisal as colors of a terminal."""

from collections.abc import Sequence

# Nats from which on a character has a color, and the color: ink and paper of the 256 that terminals have. From pale
# to dark orange, so that lightness alone tells them apart, on a dark terminal and on a light one.
_SURPRISAL = (
    (0.5, "38;5;16;48;5;230"),
    (1.0, "38;5;16;48;5;222"),
    (2.0, "38;5;16;48;5;208"),
    (4.0, "38;5;231;48;5;130"),
)


def paint_by_surprisal(characters: Sequence[str], nats: Sequence[float]) -> str:
    """Returns the characters as one text, each in the color of its surprisal in nats; newlines have none."""
    return "".join(
        character if character == "\n" else _painted(character, _color(surprisal))  # it would fill the line
        for character, surprisal in zip(characters, nats, strict=True)
    )


def surprisal_scale(*, painted: bool) -> str:
    """Returns the nats at which the colors begin, in their colors or without."""
    bounds = [f"{least:g}" for least, _ in _SURPRISAL]
    if not painted:
        return ", ".join(bounds)
    return " ".join(
        _painted(f" {bound} ", color) for bound, (_, color) in zip(bounds, _SURPRISAL, strict=True)
    )


def _color(nats: float) -> str | None:
    return next((color for least, color in reversed(_SURPRISAL) if nats >= least), None)


def _painted(text: str, color: str | None) -> str:
    return text if color is None else f"\x1b[{color}m{text}\x1b[0m"
