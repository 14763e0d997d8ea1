"""One writer at a time: by a lock that no dead process holds."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxrnn.errors import LockedError
from jaxrnn.runs.lock import LOCK, lock_run, unlock_run

HOLD = """
import sys, time
from pathlib import Path
from jaxrnn.runs.lock import lock_run
lock_run(Path(sys.argv[1]))
time.sleep(60)
"""


def test_a_second_writer_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    handle = lock_run(tmp_path)
    with pytest.raises(LockedError) as error:
        lock_run(tmp_path)
    message = str(error.value)
    for words in (str(tmp_path), f"process {os.getpid()}", socket.gethostname()):
        assert words in message
    assert "\n" not in message
    unlock_run(handle)
    unlock_run(lock_run(tmp_path))


def test_the_kernel_lets_go_of_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)]) as process:
        while not (tmp_path / LOCK).exists() or str(process.pid) not in (tmp_path / LOCK).read_text():
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(LockedError, match=f"process {process.pid} "):
            lock_run(tmp_path)
        process.send_signal(signal.SIGKILL)
    unlock_run(lock_run(tmp_path))


def test_what_an_earlier_writer_left_in_the_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("process 1 on the moon, and much more than that\n" * 10)
    handle = lock_run(tmp_path)
    assert (tmp_path / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    unlock_run(handle)


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        lock_run(tmp_path)
    assert (tmp_path / "precious").read_text() == "gold"
