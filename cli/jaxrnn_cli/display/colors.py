"""Terminal colors for surprisal."""

from collections.abc import Sequence

# Lowest surprisal in nats of each color, as SGR codes with the 256-color palette. Higher ones stand out more, on dark
# and on light terminals: first the letters change, then they get a background of medium lightness, then a vivid one.
_SURPRISAL = (
    (0.5, "38;5;136"),
    (1.0, "4;38;5;166"),
    (2.0, "38;5;231;48;5;131"),
    (4.0, "1;38;5;231;48;5;196"),
)


def paint_by_surprisal(characters: Sequence[str], nats: Sequence[float]) -> str:
    """Return the characters as one string, each in the color of its surprisal in nats; newlines have no color."""
    return "".join(
        character if character == "\n" else _painted(character, _color(surprisal))  # would color the line
        for character, surprisal in zip(characters, nats, strict=True)
    )


def surprisal_scale(*, painted: bool) -> str:
    """Return the lowest surprisal of each color, painted in that color or plain."""
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
