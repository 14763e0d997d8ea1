"""Atomic writes: write under another name, flush to the disk, rename.

A rename is atomic on POSIX file systems. No function here deletes through a symbolic link.
"""

import contextlib
import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from jaxrnn.errors import SaveError

# Errors of file systems without locks; on these, files are not locked.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Flush a file or directory to the disk, so that it survives a power failure."""
    with _opened(path, os.O_RDONLY) as handle:
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems can't flush a directory.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def sync_tree(directory: Path) -> None:
    """Sync every file below `directory`, then the directories, from the inside out."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` at the end; yield a pipe or device itself."""
    if path.exists() and not path.is_file():
        yield path
        return
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        sync(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically: readers see the old content or the new content, never a part."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8", newline="")


def why_taken(path: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> str | None:
    """Return why a file must not be written to `path`, for a message; None if it may.

    Args:
        path: The output path.
        inputs: Files and folders that are read; outputs must not change them or files inside them.
        overwrite: Whether an existing file may be replaced.
    """
    if path.exists() and not path.is_file():  # writing to a pipe or a device replaces nothing
        return None
    real = Path(os.path.realpath(path))
    for given in inputs:
        is_same = real.exists() and given.exists() and real.samefile(given)
        if is_same or real.is_relative_to(os.path.realpath(given)):
            return f"would change an input, {given}; name another file"
    return "already exists; --overwrite replaces it" if os.path.lexists(path) and not overwrite else None


def append_text(path: Path, text: str) -> None:
    """Append to an existing UTF-8 file and flush it: all of the text or nothing, never through a symbolic link."""
    data = text.encode("utf-8")
    with _opened(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW) as handle:
        length = os.fstat(handle).st_size
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, length)
            raise


def cut(path: Path, length: int) -> None:
    """Truncate a file to `length` bytes and flush it; a shorter file and a symbolic link's target are not changed."""
    with _opened(path, os.O_WRONLY | os.O_NOFOLLOW) as handle:
        if os.fstat(handle).st_size > length:
            os.ftruncate(handle, length)
            os.fsync(handle)


def reserve(path: Path, size: int) -> None:
    """Check that a file of `size` bytes could be written to `path`, without leaving one.

    Raises:
        OSError: The disk is full, or a quota or a limit of the process is reached.
    """
    require_space(path.parent, size)
    with path.open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # missing on macOS, where only the free space is checked
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
        finally:
            path.unlink()


def require_space(folder: Path, size: int) -> None:
    """Check that the disk of `folder` has `size` bytes of free space.

    Raises:
        OSError: The free space is smaller.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        megabytes = f"about {size / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {megabytes}")


def put_in_place(new: Path, path: Path, *, replace: bool = False) -> None:
    """Rename the finished directory `new` to `path`, and flush the rename to the disk.

    Args:
        new: A directory next to `path`, already synced.
        path: The destination: missing or an empty directory, or anything if `replace` is True.
        replace: Whether to replace an existing `path`; the replaced one is then at `new`.

    Raises:
        OSError: Renaming failed; nothing has changed.
    """
    if replace and os.path.lexists(path):
        _exchange(new, path)
    else:
        new.rename(path)
    sync(path.parent)


def _exchange(new: Path, path: Path) -> None:
    """Swap two paths atomically; without renameat2, in three renames, where a kill may leave the old `path.old`."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)  # Linux only
    current, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if exchange and exchange(current, os.fsencode(new), current, os.fsencode(path), exchanging) == 0:
        return
    aside = path.with_name(f"{path.name}.old")
    path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        aside.rename(path)
        raise
    aside.rename(new)


def remove_tree(path: Path) -> None:
    """Delete a file or a directory tree; symbolic links are deleted, not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def try_remove_tree(path: Path) -> None:
    """Call `remove_tree` and ignore failures: a later call deletes the rest."""
    with contextlib.suppress(OSError):
        remove_tree(path)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed file operation into a one-line message that names `path`.

    Raises:
        SaveError: An `OSError` was raised in the context.
    """
    try:
        yield
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {reason(error)}") from error


def user_path(name: str) -> Path:
    """Return a path with `~` and `~name` expanded to home directories; the `~name` of an unknown user stays."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  (to a Path, "./~" is "~")


def reason(error: Exception) -> str:
    """Return why a file operation failed, in one line without the path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # TensorStore, which orbax writes with, puts the system's error number into the message.
    number = re.search(r"(?:OS error |os_error_code=')(\d+)", str(error))
    return os.strerror(int(number[1])) if number else " ".join(str(error).split())[:200]
