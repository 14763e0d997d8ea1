"""Whole processes, timed from outside: the `jaxrnn` command, from its start to its output."""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

JAXRNN = (sys.executable, "-m", "jaxrnn_cli")
_POLL = 0.01  # seconds between two looks at a file: the error of a measured time
Row = dict[str, str]


def environment(platform: str, cache: Path | None = None) -> dict[str, str]:
    """Return the environment of a process on `platform`, `cpu` or `gpu`, with compilation cache `cache`, or none."""
    found = {**os.environ, "PYTHONUNBUFFERED": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    found |= {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # or torch.compile's time is that of its cache
    if cache is not None:
        found |= {"JAX_ENABLE_COMPILATION_CACHE": "true", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    if platform == "cpu":
        return found | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return found | {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def seconds_of(command: Sequence[str], env: dict[str, str]) -> float:
    """How long a command takes.

    Raises:
        RuntimeError: It fails.
    """
    begun = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(_complaint(command, done.returncode, done.stderr))
    return seconds


def watch(
    command: Sequence[str], env: dict[str, str], metrics: Path, is_enough: Callable[[Row], bool]
) -> tuple[list[tuple[float, Row]], float]:
    """Start a training run and note when each row of its metrics.csv appears, in seconds since the process began.

    Args:
        command: the training.
        env: its environment.
        metrics: the file it will write.
        is_enough: whether no more than this row is wanted: then the process is ended.

    Returns:
        Each row with its time; and how long the process lasted.

    Raises:
        RuntimeError: The training fails.
    """
    begun = time.perf_counter()
    seen: list[tuple[float, Row]] = []
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while not (seen and is_enough(seen[-1][1])):
                is_over = (
                    process.poll() is not None
                )  # asked first: what it wrote before its end is still read
                now = time.perf_counter() - begun
                seen += [(now, row) for row in read_rows(metrics)[len(seen) :]]
                if is_over:
                    break
                time.sleep(_POLL)
        finally:
            seconds = time.perf_counter() - begun
            was_ended = process.poll() is None
            process.kill()
            status = process.wait()
        errors.seek(0)
        if status and not was_ended:
            raise RuntimeError(_complaint(command, status, errors.read()))
    return seen, seconds


def read_rows(metrics: Path) -> list[Row]:
    """Return the complete rows of a metrics.csv; an empty list before the file exists."""
    try:
        text = metrics.read_text(encoding="utf-8")
    except OSError:
        return []
    whole, _, _ = text.rpartition("\n")
    return list(csv.DictReader(whole.splitlines()))


def _complaint(command: Sequence[str], status: int, errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines() or [""]
    return f"{' '.join(command[1:])} ended with {status}: {lines[-1]}"
