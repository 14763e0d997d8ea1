"""Files that survive being killed: write beside, make durable, rename into place.

A rename is the one step on a POSIX file system that either happened or did not. Whatever is read later is
therefore first written under another name, flushed to the disk, and only then renamed. Nothing here follows a
symbolic link in order to delete.
"""

import contextlib
import errno
import os
import shutil
from pathlib import Path

# What file systems answer that have no locks; on them one goes without.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def sync(path: Path) -> None:
    """Returns once `path`, a file or a directory, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems can't flush a directory; there is nothing better to do on them.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Syncs every file below `directory`, then the directories, the outermost last."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file at once: a reader finds the old text or the new one, never a part."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8", newline="")
    sync(beside)
    beside.replace(path)


def append_text(path: Path, text: str) -> None:
    """Appends to a UTF-8 file, durably, all of the text or nothing; never through a symbolic link."""
    data = text.encode("utf-8")
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        length = os.fstat(handle).st_size
        try:
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, length)
            raise
    finally:
        os.close(handle)


def cut(path: Path, length: int) -> None:
    """Shortens a file to `length` bytes, durably; leaves a shorter one alone, and what a symbolic link points to."""
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_size > length:
            os.ftruncate(handle, length)
            os.fsync(handle)
    finally:
        os.close(handle)


def reserve(path: Path, size: int) -> None:
    """Finds out whether a file of `size` bytes could be written to `path`; leaves nothing there.

    Raises:
        OSError: it could not: the disk is full, a quota or a limit of the process is reached.
    """
    with path.open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
            elif shutil.disk_usage(path.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            path.unlink()


def require_space(folder: Path, size: int) -> None:
    """Makes sure that the disk of `folder` has room for so many bytes.

    Raises:
        OSError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        megabytes = f"about {size / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {megabytes}")


def put_in_place(new: Path, path: Path, aside: Path | None = None) -> None:
    """Renames the finished directory `new` to `path`, durably.

    Args:
        new: a directory beside `path`, synced already.
        path: free, or an empty directory, or anything at all when `aside` is given.
        aside: where that goes which `path` names now. It is brought back if `new` can't take its place.

    Raises:
        OSError: `new` could not be renamed; nothing has changed then.
    """
    moved = False
    if aside is not None and os.path.lexists(path):
        path.rename(aside)
        moved = True
    try:
        new.rename(path)
    except OSError:
        if moved and aside is not None:
            aside.rename(path)
        raise
    sync(path.parent)


def remove_tree(path: Path) -> None:
    """Deletes a directory and what is in it; of a symbolic link, there or inside, only the link itself."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def try_remove_tree(path: Path) -> None:
    """`remove_tree` for leftovers: what can't be deleted now stays for the next time."""
    with contextlib.suppress(OSError):
        remove_tree(path)


def reason(error: Exception) -> str:
    """Returns why a file operation failed, without the path: messages name that themselves."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
