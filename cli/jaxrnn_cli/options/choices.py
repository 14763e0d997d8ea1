"""Options with a fixed set of values, completion, and suggestions for misspelled values."""

from collections.abc import Sequence
from typing import Any

import typer

from jaxrnn.errors import did_you_mean

ON_UNKNOWN = ("extend", "drop", "error")  # for characters that are not in the vocabulary


def choice(name: str, words: Sequence[str], *, help: str) -> Any:  # noqa: A002  (as typer calls it)
    """Return the option `name` for the annotation of a parameter."""

    def parse(word: str) -> str:
        check_choice(word, words, name)
        return word

    return typer.Option(
        name, metavar="|".join(words), parser=parse, help=help, autocompletion=lambda: list(words)
    )


def check_choice(word: str, words: Sequence[str], option: str) -> None:
    """Check that `word` is one of `words`.

    Raises:
        typer.BadParameter: It is not.
    """
    if word not in words:
        problem = f"{word!r} is not one of {', '.join(words)}{did_you_mean(word, words)}"
        raise typer.BadParameter(problem, param_hint=f"'{option}'")
