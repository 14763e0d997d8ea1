"""Lock of a run directory: one process writes at a time.

The kernel releases the lock whenever the process ends. Readers do not lock. The file `.lock` stays in the run and does
not mean that the run is locked; while it is, the file names the process that holds the lock.
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

# Suffix of the hidden folder in which a run or an export is built, next to its destination.
_UNFINISHED = ".jaxrnn-new"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[int]:
    """Lock a folder for writing, until the context or the process ends.

    Yields:
        The file descriptor of the lock, for `is_held`.

    Raises:
        LockedError: Another process writes to the folder.
        OSError: The folder can't be written.
    """
    # Without O_NOFOLLOW, a symbolic link in place of the file would redirect the write to its target.
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
            raise LockedError(f"{run}: was replaced by another process just now; try again")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        try:
            yield handle
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)  # a shared run must not reveal the host name
    finally:
        os.close(handle)


def is_held(handle: int, run: Path) -> bool:
    """Return whether the lock still belongs to the folder at this path; False if that was moved or deleted."""
    try:
        return os.path.samestat(os.fstat(handle), (run / LOCK).lstat())
    except OSError:
        return False


def unfinished(path: Path) -> Path:
    """Return the hidden, locked folder in which a run or export is built before it is renamed to `path`."""
    return path.with_name(f".{path.name}{_UNFINISHED}")


def remove_abandoned(parent: Path) -> None:
    """Delete unfinished folders of killed processes in `parent`: those that no process has locked."""
    for folder in parent.glob(f".*{_UNFINISHED}"):
        if folder.is_symlink() or not (folder / LOCK).exists():
            continue
        with contextlib.suppress(OSError, LockedError), locked(folder):
            try:
                with locked(folder):  # succeeds only on a file system without locks: a writer may be alive
                    continue
            except LockedError:
                try_remove_tree(folder)
