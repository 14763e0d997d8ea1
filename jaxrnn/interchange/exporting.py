"""A model to a file of any format, whole or not at all."""

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from jaxrnn.disk import reason, sync, try_remove_tree
from jaxrnn.errors import InterchangeError, SaveError
from jaxrnn.models.language_model import LanguageModel


def require(package: str, extra: str = "export") -> Any:
    """Imports a package that an extra brings.

    Raises:
        InterchangeError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise InterchangeError(
            f"there is no {package.partition('.')[0]}: pip install 'jaxrnn[{extra}]', or in a clone -e '.[{extra}]'"
        ) from None


def export(
    trained: LanguageModel,
    write: Callable[[LanguageModel, Path], list[Path]],
    path: Path,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Writes a model in one format.

    It is written into a hidden folder beside its place and appears by renames, the file itself last.

    Args:
        trained: the model.
        write: the format, of `FORMATS`.
        path: the file; its folder exists. What the format writes beside it is named after it.
        overwrite: whether files that are there may be replaced.

    Returns:
        What was written, `path` first.

    Raises:
        InterchangeError: The model can't be put into this format, a file is in the way, or a package is missing.
        SaveError: The disk is full, or can't be written; nothing is left.
    """
    folder = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
    try:
        folder.mkdir()
        written = [path.with_name(made.name) for made in write(trained, folder / path.name)]
        for target in written:
            check_free(target, overwrite=overwrite)
            sync(folder / target.name)
        for target in reversed(written):
            (folder / target.name).rename(target)
        sync(path.parent)
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {reason(error)}") from error
    finally:
        try_remove_tree(folder)
    return written


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuses a file that is there; writes nothing.

    Raises:
        InterchangeError: Something is there, and may not be replaced.
    """
    if path.is_dir():
        raise InterchangeError(f"{path}: a directory is here; name another file with --output")
    if path.exists() and not path.is_file():  # /dev/null, say, which a rename would replace
        raise InterchangeError(f"{path}: no regular file is here; name another file with --output")
    if os.path.lexists(path) and not overwrite:
        raise InterchangeError(
            f"{path}: is there already; --overwrite replaces it, --output FILE writes elsewhere"
        )
