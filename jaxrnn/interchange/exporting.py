"""A model to a file of any format, whole or not at all."""

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from jaxrnn.disk import sync, try_remove_tree, writing
from jaxrnn.errors import InterchangeError
from jaxrnn.models.language_model import LanguageModel


def require(package: str) -> Any:
    """Import a package that the extra `export` brings.

    Raises:
        InterchangeError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        name, ways = package.partition(".")[0], "pip install 'jaxrnn[export]', or in a clone -e '.[export]'"
        raise InterchangeError(f"there is no {name}: {ways}") from None


def export(
    trained: LanguageModel,
    write: Callable[[LanguageModel, Path], list[Path]],
    path: Path,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a model in one format.

    It is written into a hidden folder next to its place and appears by renames, the file itself last.

    Args:
        trained: the model.
        write: the format, of `FORMATS`.
        path: the file; its folder exists. Further files of the format are named after it.
        overwrite: whether existing files may be replaced.

    Returns:
        The files written, `path` first.

    Raises:
        InterchangeError: The model can't be put into this format, a file is in the way, or a package is missing.
        SaveError: The disk is full, or can't be written; nothing is left.
    """
    folder = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
    try:
        with writing(path):
            folder.mkdir()
            written = [path.with_name(made.name) for made in write(trained, folder / path.name)]
            for target in written:
                check_free(target, overwrite=overwrite)
                sync(folder / target.name)
            for target in reversed(written):
                (folder / target.name).rename(target)
            sync(path.parent)
    finally:
        try_remove_tree(folder)
    return written


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a path where something is that may not be replaced; write nothing.

    Raises:
        InterchangeError: A directory, a device or the like is there, or a file without `overwrite`.
    """
    if path.exists() and not path.is_file():  # a rename would replace /dev/null, too
        found = "a directory is here" if path.is_dir() else "no regular file is here"
        raise InterchangeError(f"{path}: {found}; name another file with --output")
    if os.path.lexists(path) and not overwrite:
        raise InterchangeError(
            f"{path}: is there already; --overwrite replaces it, --output FILE writes elsewhere"
        )
