"""One writer for a run directory: a lock that the kernel holds, and lets go of however its process ends.

Readers don't ask for it. The file `.lock` stays where it is; what counts is who has it locked, and what it says
is only who that was last.
"""

import fcntl
import os
import socket
from pathlib import Path

from jaxrnn.disk import NO_LOCKS
from jaxrnn.errors import LockedError

LOCK = ".lock"


def lock_run(run: Path) -> int:
    """Locks a run for writing, until `unlock_run` or the end of the process.

    Returns:
        What `unlock_run` takes.

    Raises:
        LockedError: another process writes to the run.
        OSError: the run can't be written.
    """
    path = run / LOCK
    # Without O_NOFOLLOW a link put there would have us write into what it points to.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        _lock(handle, run)
        if not _is_at(handle, path):  # replaced by another run between opening and locking
            raise LockedError(f"{run}: has just been replaced by another process; look again")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def unlock_run(handle: int) -> None:
    """Lets go of a run."""
    os.close(handle)


def _lock(handle: int, run: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        writer = os.pread(handle, 1000, 0).decode(errors="replace").strip() or "another process"
        raise LockedError(f"{run}: is being written by {writer}; wait for it to end, or stop it") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
