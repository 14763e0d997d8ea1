"""Terminal colors for surprisal."""

from collections.abc import Sequence

# Lowest surprisal in nats of each color, and its foreground and background in the 256-color palette. The background
# goes from pale to dark orange: the colors differ in lightness, on dark and light terminals.
_SURPRISAL = (
    (0.5, "38;5;16;48;5;230"),
    (1.0, "38;5;16;48;5;222"),
    (2.0, "38;5;16;48;5;208"),
    (4.0, "38;5;231;48;5;130"),
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
