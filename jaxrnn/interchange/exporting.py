"""A model to a file of any format, whole or not at all."""

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from jaxrnn.disk import remove_tree, sync, try_remove_tree, why_taken, writing
from jaxrnn.errors import CheckpointError, InterchangeError
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.runs.lock import LOCK, locked, remove_abandoned, unfinished

Write: TypeAlias = Callable[[LanguageModel, Path], list[Path]]  # a format


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
    write: Write,
    path: Path,
    *,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> list[Path]:
    """Write a model in one format.

    It is written into a hidden folder next to its place, and the file itself appears by one rename. The other files of
    the format are deleted before and follow after: a process that is killed never leaves them next to a model that they
    do not describe, and the next export or new run next to it deletes the hidden folder that it leaves.

    Args:
        trained: the model.
        write: the format, of `FORMATS`.
        path: the file; its folder exists. Further files of the format are named after it.
        overwrite: whether existing files may be replaced.
        inputs: files and folders that are never replaced, such as those of the run.

    Returns:
        The files written, `path` first.

    Raises:
        InterchangeError: The model can't be put into this format, a file is in the way, or a package is missing.
        SaveError: The disk is full, or can't be written; nothing is left.
        LockedError: Another process exports to this file.
    """
    _check_free(path, inputs, overwrite)
    remove_abandoned(path.parent)
    folder = unfinished(path)
    try:
        with writing(path):
            folder.mkdir(exist_ok=True)
            with locked(folder):
                try:
                    return _export(trained, write, path, folder, inputs, overwrite)
                finally:
                    try_remove_tree(folder)
    except CheckpointError as error:  # name the destination, not the hidden folder
        raise type(error)(str(error).replace(str(folder), str(path))) from error


def _export(
    trained: LanguageModel, write: Write, path: Path, folder: Path, inputs: Iterable[Path], overwrite: bool
) -> list[Path]:
    for left in list(folder.iterdir()):
        if left.name != LOCK:  # by a process that was killed
            remove_tree(left)
    written = [path.with_name(made.name) for made in write(trained, folder / path.name)]
    for target in written:
        _check_free(target, inputs, overwrite)
        sync(folder / target.name)
    for target in written[1:]:
        target.unlink(missing_ok=True)
    for target in written:
        (folder / target.name).rename(target)
    sync(path.parent)
    return written


def _check_free(path: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Refuse a path where something is that may not be replaced.

    Raises:
        InterchangeError: A directory, a device or the like is there, an input, or a file without `overwrite`.
    """
    if path.exists() and not path.is_file():  # a rename would replace /dev/null, too
        found = "a directory is here" if path.is_dir() else "no regular file is here"
        raise InterchangeError(f"{path}: {found}; name another file with --output")
    if why := why_taken(path, inputs, overwrite=overwrite):
        raise InterchangeError(f"{path}: {why}; --output FILE writes elsewhere")
