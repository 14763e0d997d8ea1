"""Output files: never one of the inputs, and an existing file only with `--overwrite`."""

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
    """Check before the work starts that the output can be written without destroying a file.

    Args:
        path: The output file.
        inputs: Files and folders that the command reads, such as `jaxrnn.runs.files_read`.
        overwrite: Whether an existing file may be replaced.
        option: The option that names the output, for the error message.

    Raises:
        typer.BadParameter: The path can't be written, is an input, or exists and `overwrite` is false.
    """
    is_special = path.exists() and not path.is_file()  # a pipe, for example
    problem = None
    if path.is_dir():
        problem = f"{path} is a directory; name a file"
    elif not path.parent.is_dir():
        problem = f"{path.parent}: no such folder; create it first"
    elif not os.access(path if is_special else path.parent, os.W_OK):
        problem = f"{path} can't be written; check its permissions"
    elif why := why_taken(path, inputs, overwrite=overwrite):
        problem = f"{path}: {why}"
    if problem:
        raise typer.BadParameter(problem, param_hint=f"'{option}'")


def write_output(path: Path, text: str) -> None:
    """Write a text file atomically: a killed process leaves the old file or the new one.

    Raises:
        SaveError: It can't be written.
    """
    with writing(path), replacing(path) as new:
        new.write_text(text, encoding="utf-8")
