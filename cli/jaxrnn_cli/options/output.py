"""Where a command writes its output."""

import os
from pathlib import Path

import typer

from jaxrnn.disk import write_text, writing


def check_output(path: Path, option: str = "--output") -> None:
    """Refuse at once what would fail after the work is done.

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


def write_output(path: Path, text: str) -> None:
    """Write a text file at once: a process that is killed leaves the old one or the new one.

    Raises:
        SaveError: It can't be written.
    """
    with writing(path):
        if path.exists() and not path.is_file():  # a pipe, for example
            path.write_text(text, encoding="utf-8")
        else:
            write_text(path, text)
