"""Where a command writes its output: never into what it reads, and over an existing file only with `--overwrite`."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from jaxrnn.disk import replacing, why_taken, writing

OverwriteFile: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing output file.")
]


def check_output(path: Path, inputs: Iterable[Path], *, overwrite: bool, option: str = "--output") -> None:
    """Refuse at once what would fail after the work is done, or destroy a file.

    Args:
        path: the output.
        inputs: files and folders that the command reads, such as `jaxrnn.runs.files_read`.
        overwrite: whether an existing file may be replaced.
        option: that names the output.

    Raises:
        typer.BadParameter: No file can be written there, an input is there, or a file without `overwrite`.
    """
    is_special = path.exists() and not path.is_file()  # a pipe, for example
    problem = None
    if path.is_dir():
        problem = f"{path} is a directory; name a file"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}; make it first"
    elif not os.access(path if is_special else path.parent, os.W_OK):
        problem = f"{path} can't be written; check its permissions"
    elif why := why_taken(path, inputs, overwrite=overwrite):
        problem = f"{path}: {why}"
    if problem:
        raise typer.BadParameter(problem, param_hint=f"'{option}'")


def write_output(path: Path, text: str) -> None:
    """Write a text file at once: a process that is killed leaves the old one or the new one.

    Raises:
        SaveError: It can't be written.
    """
    with writing(path), replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
