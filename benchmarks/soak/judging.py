"""Check how a command ended."""

from pathlib import Path

import jaxrnn
from benchmarks.soak.choosing import Command
from benchmarks.soak.running import LONGEST, Result
from jaxrnn.errors import JaxrnnError


def judge(command: Command, result: Result, *, lost: str = "", changed: str = "") -> list[str]:
    """Return the problems found; an empty list if the result is right.

    Args:
        command: the command.
        result: how it ended.
        lost: why the run that had a good checkpoint can't be loaded any more.
        changed: a file outside of the command's folder that it changed.
    """
    if result.hung:
        return [f"hangs: not at an end after {LONGEST:.0f} s"]
    problems = []
    if "Traceback (most recent call last)" in result.output or "jaxrnn: error: unexpected " in result.output:
        problems.append("shows a traceback or an unexpected error")
    if result.code not in command.codes:
        problems.append(f"exit code {result.code}, not {' or '.join(map(str, sorted(command.codes)))}")
    if lost:
        problems.append(f"lost a checkpoint: {lost}")
    if changed:
        problems.append(f"changed {changed}")
    return problems


def why_lost(run: Path) -> str:
    """Return why a run can't be loaded; nothing if it can."""
    try:
        jaxrnn.load(run)
    except (JaxrnnError, OSError) as error:
        return str(error)
    return ""


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of everything in a folder."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}
