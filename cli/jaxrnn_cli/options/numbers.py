"""Parsers of numbers whose errors quote the given value."""

from collections.abc import Callable

import typer


def integer(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of integers from `low` to `high`; None means no limit."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not an integer") from None
        if (low is not None and value < low) or (high is not None and value > high):
            raise typer.BadParameter(f"{value} is not from {low} to {high}")
        return value

    parse.__name__ = "integer"  # the name in help and completion
    return parse


def number(text: str) -> float:
    """Parse a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None
