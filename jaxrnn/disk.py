"""Files that survive a kill: write under another name, flush to the disk, rename.

A rename is the one step on a POSIX file system that either happened or did not. Nothing here follows a symbolic link in
order to delete.
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

# What file systems answer that have no locks; on them one goes without.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Return once `path`, a file or a directory, would survive a loss of power."""
    with _opened(path, os.O_RDONLY) as handle:
        try:
            os.fsync(handle)
        except OSError as error:
            # Some network file systems can't flush a directory; there is nothing better to do on them.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def sync_tree(directory: Path) -> None:
    """Sync every file below `directory`, then the directories, the outermost last."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is to appear at `path` at once: next to it; `path` itself if it is a pipe."""
    if path.exists() and not path.is_file():
        yield path
        return
    beside = path.with_name(f".{path.name}.new")
    try:
        yield beside
        sync(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file at once: a reader finds the old text or the new one, never a part."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def why_taken(path: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> str | None:
    """Return why no file may be written to a path, for a message; None where one may.

    Args:
        path: where.
        inputs: files that are read, and folders with all that is in them; none is ever written to.
        overwrite: whether an existing file may be replaced.
    """
    if path.exists() and not path.is_file():  # a pipe or a device, for example, which nothing replaces
        return None
    real = Path(os.path.realpath(path))
    for given in inputs:
        is_same = real.exists() and given.exists() and real.samefile(given)
        if is_same or real.is_relative_to(os.path.realpath(given)):
            return f"would change an input, {given}; name another file"
    return "is there already; --overwrite replaces it" if os.path.lexists(path) and not overwrite else None


def append_text(path: Path, text: str) -> None:
    """Append to an existing UTF-8 file, durably, all of the text or nothing; never through a symbolic link."""
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
    """Shorten a file to `length` bytes, durably; leave a shorter one alone, and the target of a symbolic link."""
    with _opened(path, os.O_WRONLY | os.O_NOFOLLOW) as handle:
        if os.fstat(handle).st_size > length:
            os.ftruncate(handle, length)
            os.fsync(handle)


def reserve(path: Path, size: int) -> None:
    """Find out whether a file of `size` bytes could be written to `path`; leave nothing there.

    Raises:
        OSError: It could not: the disk is full, a quota or a limit of the process is reached.
    """
    require_space(path.parent, size)
    with path.open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS, where the free space is all that is known
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
        finally:
            path.unlink()


def require_space(folder: Path, size: int) -> None:
    """Make sure that the disk of `folder` has room for `size` bytes.

    Raises:
        OSError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        megabytes = f"about {size / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {megabytes}")


def put_in_place(new: Path, path: Path, *, replace: bool = False) -> None:
    """Rename the finished directory `new` to `path`, durably.

    Args:
        new: A directory next to `path`, synced already.
        path: Free, or an empty directory, or anything at all with `replace`.
        replace: Whether to replace what is at `path`, which is called `new` afterwards.

    Raises:
        OSError: `new` could not be renamed; nothing has changed then.
    """
    if replace and os.path.lexists(path):
        _exchange(new, path)
    else:
        new.rename(path)
    sync(path.parent)


def _exchange(new: Path, path: Path) -> None:
    """Swap two names in one step; in several on a system that can't, where a kill may leave the old `path.old`."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)  # of Linux
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
    """Delete a directory with its contents; of a symbolic link, there or inside, only the link itself."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def try_remove_tree(path: Path) -> None:
    """Call `remove_tree` on leftovers: those that can't be deleted now stay for the next time."""
    with contextlib.suppress(OSError):
        remove_tree(path)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed file operation into one line that names what was to be written.

    Raises:
        SaveError: An `OSError` was raised in the context.
    """
    try:
        yield
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {reason(error)}") from error


def user_path(name: str) -> Path:
    """Return the path that a user means: `~` is their home, `~name` another's; one that is nobody's stays as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  (to a Path, "./~" is "~")


def reason(error: Exception) -> str:
    """Return why a file operation failed in one line, without the path: messages name that themselves."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # The array library puts the system's error number into a text.
    number = re.search(r"(?:OS error |os_error_code=')(\d+)", str(error))
    return os.strerror(int(number[1])) if number else " ".join(str(error).split())[:200]
