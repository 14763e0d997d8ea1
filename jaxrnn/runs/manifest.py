"""The manifest of a checkpoint, `checkpoint.json`: what is in it, and how that must hash.

It holds the step, the validation loss, shape, dtype and SHA-256 of every leaf, the SHA-256 of every file of
arrays, how long the run's logs were, what it ran on, and one SHA-256 of all this. Leaves and files both, because
damage must be found before the library that reads the arrays stumbles over it (the files), and what that library
returns must be what was saved (the leaves).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.disk import reason, write_text
from jaxrnn.errors import CheckpointError, DamagedError

FORMAT_VERSION = 1

_FILE = "checkpoint.json"


class Leaf(NamedTuple):
    """What is known of an array without reading it."""

    shape: tuple[int, ...]
    dtype: str
    sha256: str


class Manifest(NamedTuple):
    """What is known of a checkpoint without reading its arrays."""

    step: int
    val_loss: float | None  # nats per character; None: not evaluated at this step
    leaves: dict[str, Leaf]
    files: dict[str, str]  # SHA-256 by path in the folder of arrays
    logs: dict[str, int]  # bytes that metrics.csv and samples.txt had when the state was reached
    environment: dict[str, str]  # what it was reached on, `jaxrnn.runs.environment`


def describe(
    step: int,
    val_loss: float | None,
    leaves: Mapping[str, np.ndarray[Any, Any]],
    logs: Mapping[str, int] = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Manifest:
    """Returns the manifest of a state that is not written yet: no files.

    Args:
        step: the step the state was reached at.
        val_loss: nats per character; None, or not finite: not evaluated.
        leaves: the arrays of the state by name.
        logs: bytes of the run's logs by name.
        environment: what the state was reached on.
    """
    if val_loss is not None and not math.isfinite(val_loss):
        val_loss = None
    described = {name: Leaf(leaf.shape, leaf.dtype.name, _hash(leaf)) for name, leaf in leaves.items()}
    return Manifest(step, val_loss, described, {}, dict(logs), dict(environment))


def hash_files(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file below `folder`, by its path in there.

    Raises:
        OSError: a file can't be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash_file(path) for path in files}


# On the disk.


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of the checkpoint in `folder`, whatever that is called as yet.

    Raises:
        OSError: it can't be written.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "step": manifest.step,
        "val_loss": manifest.val_loss,
        "leaves": {name: leaf._asdict() for name, leaf in manifest.leaves.items()},
        "files": manifest.files,
        "logs": manifest.logs,
        "environment": manifest.environment,
    }
    text = json.dumps({**content, "sha256": _hash_json(content)}, indent=1)
    write_text(folder / _FILE, text + "\n")


def read_manifest(steps: Path, step: int) -> Manifest:
    """Reads the manifest of one of the checkpoints in `steps`.

    Raises:
        DamagedError: it is missing, damaged, or of another step.
        CheckpointError: it is of a newer format than this version knows, or may not be read.
    """
    path = steps / str(step) / _FILE
    try:
        content = json.loads(path.read_bytes())
        version = content["format_version"]
        if type(version) is int and version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: the checkpoint has format version {version}, this jaxrnn knows versions up to "
                f"{FORMAT_VERSION}: update jaxrnn"
            )
        if content.pop("sha256") != _hash_json(content) or content["step"] != step:
            raise DamagedError(f"{path}: damaged: its checksum does not match")
        leaves = {
            name: Leaf(tuple(leaf["shape"]), leaf["dtype"], leaf["sha256"])
            for name, leaf in content["leaves"].items()
        }
        logs, environment = content.get("logs", {}), content.get("environment", {})
        return Manifest(step, content["val_loss"], leaves, content["files"], logs, environment)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: damaged checkpoint: the file is missing") from error
    except PermissionError as error:  # the disk is well, the user may not look
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from error
    except OSError as error:
        raise DamagedError(f"{path}: damaged checkpoint: {reason(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{path}: damaged checkpoint: {type(error).__name__}: {error}") from error


def val_loss_if_readable(steps: Path, step: int) -> float | None:
    """Returns the validation loss of a checkpoint; None also where its manifest can't be read."""
    try:
        return read_manifest(steps, step).val_loss
    except CheckpointError:
        return None


# What must agree with it.


def check_fit(place: Path, saved: Mapping[str, Leaf], wanted: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another structure, before anything is allocated for it.

    Args:
        place: the checkpoint, for the message.
        saved: the leaves it has.
        wanted: what has the shapes and dtypes asked for, by name.

    Raises:
        CheckpointError: a leaf is missing, is not asked for, or is of another shape or dtype.
    """
    for name in sorted(wanted.keys() | saved.keys()):
        if name not in saved:
            raise CheckpointError(f"{place}: does not fit: it has no {name}")
        if name not in wanted:
            raise CheckpointError(f"{place}: does not fit: it has {name}, which is not in this model")
        there = f"{saved[name].dtype}{list(saved[name].shape)}"
        here = f"{wanted[name].dtype.name}{list(wanted[name].shape)}"
        if there != here:
            raise CheckpointError(f"{place}: does not fit: {name} is {there}, but {here} is asked for")


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compares the files in the folder of arrays with their hashes.

    Raises:
        DamagedError: a file is missing, or is not what was written.
        CheckpointError: a file may not be read.
    """
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            found = _hash_file(path)
        except PermissionError as error:
            raise CheckpointError(f"{path}: can't be read: {reason(error)}") from error
        except OSError as error:
            raise DamagedError(f"{path}: damaged checkpoint: {reason(error)}") from error
        if found != expected:
            raise DamagedError(f"{path}: damaged checkpoint: the checksum of this file does not match")


def verify_leaves(place: Path, manifest: Manifest, leaves: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Compares arrays read from the checkpoint at `place` with their hashes.

    Raises:
        DamagedError: one is not what was saved.
    """
    for name, leaf in leaves.items():
        if _hash(leaf) != manifest.leaves[name].sha256:
            raise DamagedError(f"{place}: damaged checkpoint: the checksum of {name} does not match")


def _hash(array: np.ndarray[Any, Any]) -> str:
    # Through bytes, because bfloat16 has no buffer of its own.
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_json(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
