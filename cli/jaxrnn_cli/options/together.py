"""Options that exclude each other."""

from collections.abc import Mapping, Sequence

import typer


def refuse_together(given: Mapping[str, bool], excluded: Mapping[str, Sequence[str]]) -> None:
    """Refuse two options that exclude each other.

    Args:
        given: by option, whether it is given.
        excluded: by option, those it can't be used with.

    Raises:
        typer.BadParameter: Both are given.
    """
    for option, others in excluded.items():
        for other in others:
            if given[option] and given[other]:
                raise typer.BadParameter(f"give {option} or {other}, not both", param_hint=f"'{option}'")
