"""Checkpoint manifests, and the choice of a checkpoint.

The manifest of a checkpoint, `checkpoint.json`, holds a `SavedStep` and a SHA-256 of its own content.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jaxrnn.disk import reason, write_text
from jaxrnn.errors import CheckpointError, DamagedError
from jaxrnn.runs.directory import FORMAT_VERSION, STEPS, check_version, read_file, reading

Which = Literal["last", "best"] | int

_FILE = "checkpoint.json"


class SavedStep(NamedTuple):
    """A checkpoint, without its arrays."""

    step: int
    val_loss: float | None = None  # nats per token; None: not evaluated at this step
    logs: Mapping[str, int] = {}  # sizes of metrics.csv and samples.txt at this step, in bytes
    environment: Mapping[str, str] = {}  # devices and versions, `jaxrnn.runs.environment`
    files: Mapping[str, str] = {}  # SHA-256 by path, relative to the folder of arrays


def write_manifest(folder: Path, saved: SavedStep) -> None:
    """Write the manifest of the checkpoint in `folder`.

    Raises:
        OSError: The file can't be written.
    """
    content = {"format_version": FORMAT_VERSION, **saved._asdict()}
    write_text(folder / _FILE, json.dumps({**content, "sha256": _hash(content)}, indent=1) + "\n")


def read_manifest(steps: Path, step: int) -> SavedStep:
    """Read the manifest of one of the checkpoints in `steps`.

    Raises:
        DamagedError: The manifest is missing, corrupt, or belongs to another step.
        CheckpointError: It has another format version, or permission to read it is denied.
    """
    path = steps / str(step) / _FILE
    with reading(path):
        content = json.loads(read_file(path))
        if content.pop("sha256") != _hash(content) or content["step"] != step:
            raise DamagedError(f"{path}: corrupt: its checksum does not match")
        check_version(path, content.pop("format_version"))
        return SavedStep(**content)


def list_steps(run: Path) -> list[SavedStep]:
    """Return the checkpoints of a run with a readable manifest, oldest first.

    Raises:
        CheckpointError: No manifest is readable.
    """
    found, problem = [], CheckpointError(f"{run / STEPS}: no checkpoint here")
    for step in step_numbers(run / STEPS):
        try:
            found.append(read_manifest(run / STEPS, step))
        except CheckpointError as error:
            problem = error
    if not found:
        raise problem
    return found


def damaged_steps(run: Path) -> list[int]:
    """Return the steps whose manifest can't be read, which `list_steps` skips.

    Raises:
        CheckpointError: No manifest is readable.
    """
    return sorted({*step_numbers(run / STEPS)} - {saved.step for saved in list_steps(run)})


def find_step(run: Path, which: Which = "best") -> SavedStep:
    """Return a checkpoint of a run: the last, the best (lowest validation loss), or the one of a step.

    If no checkpoint was evaluated, the best is the last.

    Raises:
        CheckpointError: The checkpoint is missing or corrupt.
    """
    if which in step_numbers(run / STEPS):  # reports a corrupt manifest, which `list_steps` skips
        return read_manifest(run / STEPS, int(which))
    return choose(list_steps(run), which)


def choose(steps: Sequence[SavedStep], which: Which) -> SavedStep:
    """Choose from `steps`, which are sorted oldest first. Of equally good checkpoints, the oldest is the best.

    Raises:
        CheckpointError: The step asked for was not saved.
    """
    if isinstance(which, int):
        for saved in steps:
            if saved.step == which:
                return saved
        there = ", ".join(str(saved.step) for saved in steps)
        raise CheckpointError(f"step {which}: no such checkpoint; steps saved: {there}")
    evaluated = [saved for saved in steps if saved.val_loss is not None]
    return (
        min(evaluated, key=lambda saved: saved.val_loss or 0.0)
        if which == "best" and evaluated
        else steps[-1]
    )


def step_numbers(steps: Path) -> list[int]:
    """Return the steps of the checkpoints in the folder `steps`, ascending, without reading them.

    Raises:
        CheckpointError: The folder is missing or can't be read.
    """
    try:
        return sorted(int(path.name) for path in steps.iterdir() if re.fullmatch(r"0|[1-9][0-9]*", path.name))
    except OSError as error:
        raise CheckpointError(f"{steps}: no checkpoints here: {reason(error)}") from error


def _hash(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
