"""Mutually exclusive options."""

from collections.abc import Mapping, Sequence

import typer


def refuse_together(given: Mapping[str, bool], excluded: Mapping[str, Sequence[str]]) -> None:
    """Check that no two mutually exclusive options are given.

    Args:
        given: Whether each option is given.
        excluded: For an option, those it can't be combined with.

    Raises:
        typer.BadParameter: Two such options are given.
    """
    for option, others in excluded.items():
        for other in others:
            if given[option] and given[other]:
                raise typer.BadParameter(f"give {option} or {other}, not both", param_hint=f"'{option}'")
