"""Checkpoints: training states in `steps/` of a run directory. The only file that imports orbax.

    steps/200/arrays/           every array of the state by its name (`jaxrnn.training.leaves`), written by orbax
    steps/200/checkpoint.json   the manifest (`jaxrnn.runs.saved_steps`), with the SHA-256 of every file in arrays/

Orbax stores no checksum of the data. On corrupt files it raises errors of many types and prints tracebacks from its
threads. Every load therefore compares the files with their hashes before orbax reads them. A checkpoint is written in a
hidden folder, flushed to the disk and renamed. `jaxrnn.runs.saving` decides which checkpoints a run keeps.

With several processes, process 0 writes the whole checkpoint. Orbax's v1 interface can't do that: it exchanges arrays
between all processes, in the training thread. That is why this file uses the older interface.
"""

import contextlib
import hashlib
import logging
import math
import re
from pathlib import Path
from typing import Any

import jax

from jaxrnn import disk
from jaxrnn.config import ModelConfig
from jaxrnn.errors import CheckpointError, DamagedError, SaveError
from jaxrnn.models import stack
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import whole
from jaxrnn.runs.directory import STEPS, reading
from jaxrnn.runs.saved_steps import SavedStep, Which, find_step, step_numbers, write_manifest
from jaxrnn.training.averaging import AVERAGED_PARTS
from jaxrnn.training.leaves import Leaves, from_leaves, is_in, to_leaves

MOST_AT_ONCE = 4  # checkpoints on the disk: the last two, the best, and the one being written

_ARRAYS = "arrays"


# Loading.


def load_params(run: Path, model_config: ModelConfig, vocabulary_size: int, which: Which = "best") -> Any:
    """Load the parameters of a run for inference: the averaged ones if the run averages.

    Args:
        run: The run directory.
        model_config: The layers that the parameters are for.
        vocabulary_size: Number of tokens.
        which: "best" (by validation loss), "last", or the step of a checkpoint.

    Returns:
        Parameters as `stack.init` returns them, on the default device.

    Raises:
        CheckpointError: The checkpoint is missing or corrupt, or its parameters have other shapes.
    """
    leaves = load_leaves(run, which)
    part = next((part for part in AVERAGED_PARTS if any(is_in(name, part) for name in leaves)), "params")
    abstract = jax.eval_shape(lambda: stack.init(jax.random.key(0), model_config, vocabulary_size))
    return fit(run, leaves, abstract, part)


def load_leaves(run: Path, which: Which) -> Leaves:
    """Load all arrays of a checkpoint by name.

    Raises:
        CheckpointError: The checkpoint is missing or corrupt.
    """
    while True:
        saved = find_step(run, which)
        try:
            return read_leaves(run / STEPS, saved)
        except DamagedError as error:
            # A training run in progress may have replaced this checkpoint by a newer one; then look again.
            if saved.step in step_numbers(run / STEPS):
                raise DamagedError(f"{error}; {_describe_intact(run, saved.step)}") from error


def _describe_intact(run: Path, damaged: int) -> str:
    """Return the end of an error message: the last intact checkpoint, and the option that selects it."""
    for step in reversed(step_numbers(run / STEPS)):
        with contextlib.suppress(CheckpointError):
            if step != damaged:
                read_leaves(run / STEPS, find_step(run, step))
                return f"step {step} is intact: --checkpoint {step} uses it"
    return "no other checkpoint of this run is intact"


def read_leaves(steps: Path, saved: SavedStep) -> Leaves:
    """Read the arrays of one checkpoint in `steps` and verify their hashes.

    Raises:
        DamagedError: A file is missing or its hash does not match.
        CheckpointError: Permission to read a file is denied.
    """
    place = steps / str(saved.step) / _ARRAYS
    with reading(place):
        found = _hash_files(place)
        for name, expected in saved.files.items():
            if found.get(name) != expected:
                raise DamagedError(f"{place / name}: corrupt: missing, or its checksum does not match")
        leaves: Leaves = _orbax().restore(orbax_path(place, to_write=False))
        return leaves


def fit(place: Path, leaves: Leaves, abstract: Any, part: str = "") -> Any:
    """Return a pytree with the structure of `abstract` and these leaves.

    Args:
        place: The run or checkpoint, for messages.
        leaves: Arrays by name.
        abstract: A state, or the part of it called `part`; only shapes and dtypes are used.
        part: The name of the part; "" for the whole state.

    Raises:
        CheckpointError: The leaves have another structure, or other shapes or dtypes.
    """
    try:
        return from_leaves(leaves, abstract, part)
    except ValueError as error:
        raise CheckpointError(f"{place}: does not fit: {error}") from error


# Saving.


def save_new(steps: Path, state: Any, saved: SavedStep) -> None:
    """Save the first checkpoint of a run, and read it back to check that saving works here.

    Args:
        steps: The folder of checkpoints; it exists.
        state: Any pytree of arrays, typed random keys included.
        saved: The step and the other fields except `files`.

    Raises:
        SaveError: Writing failed, reading back gave other values, or the disk is too full for later checkpoints.
    """
    leaves = to_leaves(whole(state))
    check_space(steps, leaves, MOST_AT_ONCE)
    try:
        back = read_leaves(steps, write(steps, saved, leaves))
    except DamagedError as error:
        raise SaveError(f"{error} (it was written a moment ago)") from error
    if any(back[name].tobytes() != leaf.tobytes() for name, leaf in leaves.items()):
        raise SaveError(f"{steps / str(saved.step)}: orbax reads other arrays than it wrote")


def help_save_new(state: Any) -> None:
    """Gather the state's shards for `save_new`; every process except process 0 calls this."""
    whole(state)


def check_space(steps: Path, leaves: Leaves, count: int) -> None:
    """Check that the disk has space for `count` checkpoints of this size in `steps`.

    Raises:
        SaveError: The free space is too small.
    """
    with disk.writing(steps):
        disk.require_space(steps, count * _size(leaves))


def write(steps: Path, saved: SavedStep, leaves: Leaves) -> SavedStep:
    """Write a checkpoint atomically, by one rename; it replaces a checkpoint of the same step.

    Args:
        steps: The folder of checkpoints.
        saved: The step and the other fields except `files`. A loss that is not finite is recorded as None.
        leaves: The arrays.

    Returns:
        `saved` with the hashes of the files.

    Raises:
        SaveError: Writing failed. The partial checkpoint is deleted; an earlier one of this step is kept.
    """
    final, new = steps / str(saved.step), hidden(steps, saved.step)
    try:
        disk.remove_tree(new)
        new.mkdir()
        disk.reserve(new / "room", _size(leaves))
        _orbax().save(orbax_path(new) / _ARRAYS, leaves)
        # Orbax writes the folder's path into this file; no reader needs it.
        (new / _ARRAYS / "commit_success.txt").unlink(missing_ok=True)
        loss = saved.val_loss if math.isfinite(saved.val_loss or 0.0) else None
        saved = saved._replace(val_loss=loss, files=_hash_files(new / _ARRAYS))
        write_manifest(new, saved)
        disk.sync_tree(new)
        disk.put_in_place(new, final, replace=True)
        return saved
    except Exception as error:  # orbax raises errors of every type
        raise SaveError(f"{final}: can't be written: {disk.reason(error)}") from error
    finally:
        disk.try_remove_tree(new)  # the partial checkpoint, or the replaced one


def hidden(steps: Path, step: int) -> Path:
    """Return the name of a checkpoint that is being written or deleted."""
    return steps / f".{step}.tmp"


def orbax_path(place: Path, *, to_write: bool = True) -> Path:
    """Return the absolute path of a place, as orbax requires it.

    Raises:
        CheckpointError: Orbax would misread the path: it takes a backslash for a slash, and a path that it writes to
            for a glob pattern.
    """
    path = place.resolve()
    if re.search(r"[\\\ud800-\udfff*?\[]" if to_write else r"[\\\ud800-\udfff]", str(path)):
        what = "a backslash, *, ?, [ or a byte that is not UTF-8"
        raise CheckpointError(f"{path}: can't hold checkpoints: the path has {what}; rename the folder")
    return path


def _size(leaves: Leaves) -> int:
    return sum(leaf.nbytes for leaf in leaves.values())


def _hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, keyed by relative path."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():  # not a device, whose data may never end
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _orbax() -> Any:
    """Return an orbax checkpointer that works in this process alone.

    Orbax is imported at first use, which takes 0.3 s. Its logging is turned off: it logs every save, and the traceback
    of a failed save four times.
    """
    import orbax.checkpoint as ocp

    logging.getLogger("absl").addFilter(_is_not_from_orbax)  # adding it again changes nothing
    me = processes.index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    return ocp.Checkpointer(
        ocp.PyTreeCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    )


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts
