"""Numbers on the command line, refused in words that say what was given."""

from collections.abc import Callable

import typer


def integer(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """Returns a parser of integers, from `low` to `high` where these are given."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not an integer") from None
        if (low is not None and value < low) or (high is not None and value > high):
            raise typer.BadParameter(f"{value} is not from {low} to {high}")
        return value

    parse.__name__ = "integer"  # what help and completion call it
    return parse


def number(text: str) -> float:
    """Parses a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None
