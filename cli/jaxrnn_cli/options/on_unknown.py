"""`--on-unknown`: what to do about characters that a model does not know, in one vocabulary for all commands."""

from collections.abc import Sequence

import typer

from jaxrnn.errors import did_you_mean

ON_UNKNOWN = ("extend", "drop", "error")


def check_on_unknown(given: str, allowed: Sequence[str]) -> None:
    """Refuse another word.

    Raises:
        typer.BadParameter: It is none of those allowed.
    """
    if given not in allowed:
        problem = f"{given!r} is none of {', '.join(allowed)}{did_you_mean(given, allowed)}"
        raise typer.BadParameter(problem, param_hint="'--on-unknown'")
