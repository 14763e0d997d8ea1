"""The lock of a run: one writer at a time, released when its process ends."""

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxrnn.errors import LockedError
from jaxrnn.runs.lock import LOCK, is_held, locked, remove_abandoned, unfinished

from .conftest import one_line

HOLD = """
import sys, time
from pathlib import Path
from jaxrnn.runs.lock import locked
with locked(Path(sys.argv[1])):
    time.sleep(60)
"""


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LockedError) as error, locked(tmp_path):
        pass
    for words in (str(tmp_path), f"process {os.getpid()}", socket.gethostname()):
        assert words in one_line(error)
    with locked(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == ""


def test_the_kernel_releases_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)]) as process:
        while not (tmp_path / LOCK).exists() or str(process.pid) not in (tmp_path / LOCK).read_text():
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(LockedError, match=f"process {process.pid} "), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    with locked(tmp_path):
        pass


def test_the_old_content_of_the_lock_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("process 1 on the moon, and much more than that\n" * 10)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


def test_a_moved_or_replaced_folder_is_not_locked_under_its_old_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run) as handle:
        assert is_held(handle, run)
        run.rename(tmp_path / "moved")
        assert not is_held(handle, run)
        assert is_held(handle, tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", run)
        assert not is_held(handle, run)


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"), locked(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "gold"


def test_unfinished_folders_are_deleted_once_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, left = unfinished(tmp_path / "alive"), unfinished(tmp_path / "left")
    for folder in (alive, left, tmp_path / "run", tmp_path / ".hidden"):
        folder.mkdir()
        (folder / LOCK).touch()
    unfinished(tmp_path / "link").symlink_to(tmp_path / "run")
    kept = {alive.name, unfinished(tmp_path / "link").name, "run", ".hidden"}
    with locked(alive):
        remove_abandoned(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == kept

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    remove_abandoned(tmp_path)  # its writer may still be running
    assert alive.exists()


def test_a_file_system_without_locks_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path) as handle:
        assert is_held(handle, tmp_path)
