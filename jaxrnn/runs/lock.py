"""One writer for a run directory: a lock that the kernel holds and releases however its process ends.

Readers don't take it. The file `.lock` stays in the run; what counts is who has it locked. Its text names that process
until the lock is released.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from jaxrnn.disk import NO_LOCKS, try_remove_tree
from jaxrnn.errors import LockedError

LOCK = ".lock"

# Ends the name of the hidden folder in which a run or an export is built, next to its destination.
_UNFINISHED = ".jaxrnn-new"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[int]:
    """Lock a folder for writing, until the end of the context or of the process.

    Yields:
        The handle of the lock, for `is_held`.

    Raises:
        LockedError: Another process writes to the folder.
        OSError: The folder can't be written.
    """
    # Without O_NOFOLLOW a link put there would have us write into its target.
    handle = os.open(run / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            writer = os.pread(handle, 1000, 0).decode(errors="replace").strip() or "another process"
            raise LockedError(
                f"{run}: is being written by {writer}; wait for it to end, or stop it"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        if not is_held(handle, run):  # replaced between opening and locking
            raise LockedError(f"{run}: has just been replaced by another process; look again")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        try:
            yield handle
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)  # a run that is shared tells no host
    finally:
        os.close(handle)


def is_held(handle: int, run: Path) -> bool:
    """Return whether the lock still is that of the folder of this name, which may have been moved or deleted."""
    try:
        return os.path.samestat(os.fstat(handle), (run / LOCK).lstat())
    except OSError:
        return False


def unfinished(path: Path) -> Path:
    """Return the hidden folder in which what is to appear at `path` is built, and locked meanwhile."""
    return path.with_name(f".{path.name}{_UNFINISHED}")


def remove_abandoned(parent: Path) -> None:
    """Delete the unfinished folders in `parent` that killed processes left: those that nobody has locked."""
    for folder in parent.glob(f".*{_UNFINISHED}"):
        if folder.is_symlink() or not (folder / LOCK).exists():
            continue
        with contextlib.suppress(OSError, LockedError), locked(folder):
            try:
                with locked(folder):  # a file system without locks, where its writer may be alive
                    continue
            except LockedError:
                try_remove_tree(folder)
