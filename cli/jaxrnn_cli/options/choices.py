"""Options that take one word of a few, with completion; another word is refused with the nearest."""

from collections.abc import Sequence
from typing import Any

import typer

from jaxrnn.errors import did_you_mean

ON_UNKNOWN = ("extend", "drop", "error")  # what to do about characters that a model does not know


def choice(name: str, words: Sequence[str], *, help: str) -> Any:  # noqa: A002  (as typer calls it)
    """Return the option `name` for a parameter's annotation."""

    def parse(word: str) -> str:
        check_choice(word, words, name)
        return word

    return typer.Option(
        name, metavar="|".join(words), parser=parse, help=help, autocompletion=lambda: list(words)
    )


def check_choice(word: str, words: Sequence[str], option: str) -> None:
    """Refuse another word.

    Raises:
        typer.BadParameter: It is none of those allowed.
    """
    if word not in words:
        problem = f"{word!r} is none of {', '.join(words)}{did_you_mean(word, words)}"
        raise typer.BadParameter(problem, param_hint=f"'{option}'")
