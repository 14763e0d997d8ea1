"""What all tests share."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest


@pytest.fixture
def kill_after():
    return _kill_after


def _kill_after(command: Sequence[str | Path], appears: Path, seconds: float, timeout: float = 120) -> bool:
    """Starts `command`, waits until the path `appears`, and kills it with SIGKILL some seconds later.

    Processes that it started are killed with it.

    Returns:
        Whether it was killed; False when it had finished by itself, and well.

    Raises:
        AssertionError: it failed by itself, or `appears` did not within `timeout` seconds.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            give_up = time.monotonic() + timeout
            while process.poll() is None and not appears.exists():
                assert time.monotonic() < give_up, f"{appears} did not appear in {timeout} seconds"
                time.sleep(0.002)
            time.sleep(0 if process.poll() is not None else seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        output.seek(0)
        assert status in (0, -signal.SIGKILL), output.read().decode(errors="replace")
        return status != 0
