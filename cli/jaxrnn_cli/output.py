"""Where a command writes what it makes."""

import os
from pathlib import Path

import typer


def check_output(path: Path, option: str = "--output") -> None:
    """Refuses at once what would fail after the work is done.

    Raises:
        typer.BadParameter: No file can be written there.
    """
    problem = None
    if path.is_dir():
        problem = f"{path} is a directory; name a file"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}; make it first"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = f"{path} can't be written; check its permissions"
    if problem:
        raise typer.BadParameter(problem, param_hint=f"'{option}'")
