"""Runs one command of a soak in a folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.soak.choosing import Command
from benchmarks.soak.corpora import RUN

LONGEST = 60.0  # seconds


class Result(NamedTuple):
    """How a command ended."""

    code: int  # 128 + the signal where one ended it
    output: str  # of both streams
    hung: bool = False


def prepare(command: Command, base: Path, folder: Path) -> None:
    """Make the folder that the command runs in."""
    shutil.copytree(base, folder)
    if command.copy_to:
        run = folder / command.copy_to
        shutil.copytree(folder / RUN, run)
        if command.flip is not None:
            _flip(run, command.flip)


def _flip(run: Path, where: float) -> None:
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
    place = where * len(files)
    path = files[int(place)]
    content = bytearray(path.read_bytes())
    content[int(place % 1 * len(content))] ^= 0x10
    path.write_bytes(content)


def run(command: Command, folder: Path, cache: Path) -> Result:
    """Run a command, with what happens to it."""
    places = {"HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(cache)}
    process = subprocess.Popen(
        ["bash", "-c", command.line(sys.executable)],
        cwd=folder,
        env={**os.environ, **places, "JAX_PLATFORMS": "cpu"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    hung = False
    try:
        output, _ = process.communicate(timeout=command.after if command.signal else LONGEST)
    except subprocess.TimeoutExpired:
        if command.signal:
            process.send_signal(command.signal)
        try:
            output, _ = process.communicate(timeout=LONGEST if command.signal else 0)
        except subprocess.TimeoutExpired:
            hung = True
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    code = process.returncode
    return Result(128 - code if code < 0 else code, output.decode(errors="replace"), hung)
