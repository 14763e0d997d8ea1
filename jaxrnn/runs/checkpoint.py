"""Checkpoints: training states in `steps/` of a run directory. The only file that imports orbax.

    steps/200/arrays/           every leaf of the state by its name (`jaxrnn.training.leaves`), written by orbax
    steps/200/checkpoint.json   what these are and how they must hash (`jaxrnn.runs.manifest`)

Orbax keeps no checksum over the data, so ours are verified on every load: the files before orbax sees them (it
answers a damaged one with errors of every kind and tracebacks from its own threads), the leaves after. A
checkpoint is written in a hidden folder, flushed to the disk and renamed, which is why we commit it ourselves
instead of leaving that to orbax's own checkpointer. Which ones a run keeps is decided in `jaxrnn.runs.saving`.

Of several processes each has orbax write and read what it holds, in a folder that all of them share; all else is done
by process 0. Orbax counts on all of them: whoever calls it alone waits for the others, so loading, too, is for all.
"""

import errno
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.disk import put_in_place, remove_tree, require_space, reserve, sync_tree, try_remove_tree
from jaxrnn.errors import CheckpointError, DamagedError, SaveError
from jaxrnn.models import stack
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import whole
from jaxrnn.runs.directory import STEPS
from jaxrnn.runs.manifest import (
    Manifest,
    check_fit,
    describe,
    hash_files,
    read_manifest,
    verify_files,
    verify_leaves,
    write_manifest,
)
from jaxrnn.runs.saved_steps import Which, find_step, step_numbers
from jaxrnn.training.averaging import AVERAGED_PARTS
from jaxrnn.training.leaves import Leaves, abstract_leaves, from_leaves, is_in, name_leaves, to_leaves

MOST_AT_ONCE = 4  # checkpoints on the disk: the last two, the best, and the one that is being written

_ARRAYS = "arrays"
_ROOM = "room"
_ALL = ("",)


# Loading.


def load_params(run: Path, model_config: ModelConfig, vocabulary_size: int, which: Which = "best") -> Any:
    """Loads the parameters of a run that are to be used, the averaged ones where it has some, and nothing else.

    Args:
        run: the run directory.
        model_config: the layers that the parameters are for.
        vocabulary_size: number of characters.
        which: the best checkpoint by validation loss, or the last.

    Returns:
        What `stack.init` returns, on the default device.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or its parameters are of other shapes.
    """
    abstract = jax.eval_shape(lambda: stack.init(jax.random.key(0), model_config, vocabulary_size))
    return load_part(run, AVERAGED_PARTS, abstract, which)


def load_state(run: Path, abstract_state: Any, which: Which = "last") -> Any:
    """Loads a whole training state.

    Args:
        run: the run directory.
        abstract_state: a pytree of the same structure; only shapes and dtypes of its leaves are looked at
            (`jax.eval_shape(init_state, ...)`, or a state).
        which: the last checkpoint, or the best.

    Returns:
        The state, on the default device.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it is not of this structure.
    """
    return load_part(run, _ALL, abstract_state, which)


def load_part(run: Path, parts: Sequence[str], abstract: Any, which: Which) -> Any:
    """Loads one part of a state, the first of these that it has: "params" say, or all of it: "".

    Raises:
        CheckpointError: as `load_params` and `load_state`.
    """
    while True:
        step = find_step(run, which).step
        try:
            return _load(run / STEPS, step, parts, abstract)
        except CheckpointError:
            # A training that goes on may have replaced this checkpoint by a newer one while we read it.
            if step in step_numbers(run / STEPS):
                raise


def verify(steps: Path, step: int) -> Manifest:
    """Returns what a checkpoint says of itself, once its files are found to be what was written.

    Raises:
        DamagedError: one is not.
        CheckpointError: it is of a newer format, or may not be read.
    """
    manifest = read_manifest(steps, step)
    verify_files(steps / str(step) / _ARRAYS, manifest)
    return manifest


def load_step(steps: Path, step: int, abstract: Any) -> Any:
    """Loads the whole state of one checkpoint.

    Raises:
        CheckpointError: as `load_state`.
    """
    return _load(steps, step, _ALL, abstract)


def _load(steps: Path, step: int, parts: Sequence[str], abstract: Any) -> Any:
    manifest = read_manifest(steps, step)
    there = (part for part in parts if any(is_in(name, part) for name in manifest.leaves))
    part = next(there, parts[-1])
    wanted = abstract_leaves(abstract, part)
    saved = {name: leaf for name, leaf in manifest.leaves.items() if is_in(name, part)}
    check_fit(steps / str(step), saved, wanted)
    return from_leaves(_read_leaves(steps, manifest, wanted), abstract, part)


def _read_leaves(steps: Path, manifest: Manifest, wanted: Mapping[str, Any]) -> Leaves:
    """Reads the leaves named in `wanted`, and verifies their hashes."""
    place = steps / str(manifest.step)
    verify_files(place / _ARRAYS, manifest)
    ocp = import_orbax()
    targets = {
        name: np.empty(leaf.shape, wanted[name].dtype) if name in wanted else ocp.PLACEHOLDER
        for name, leaf in manifest.leaves.items()
    }
    try:
        leaves = ocp.load(place.resolve() / _ARRAYS, targets)
    except Exception as error:  # orbax lets through errors of every kind
        raise DamagedError(f"{place}: damaged checkpoint: {_reason(error)}") from error
    read = {name: leaves[name] for name in wanted}
    verify_leaves(place, manifest, read)
    return read


# Saving.


def save_new(
    steps: Path,
    state: Any,
    step: int = 0,
    val_loss: float | None = None,
    logs: Mapping[str, int] = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Saves the first checkpoint of a run, and reads it back to see that saving works here.

    Args:
        steps: the folder of checkpoints; it exists.
        state: any pytree of arrays; typed random keys are welcome.
        step: the step it was reached at.
        val_loss: nats per character, where it is known.
        logs: how many bytes the logs of the run have.
        environment: what the run trains on.

    Raises:
        SaveError: it could not be written, was not read back as it was, or leaves no room for those to come.
    """
    leaves = to_leaves(whole(state))
    check_space(steps, leaves, MOST_AT_ONCE)
    writing = begin_write(steps, step, state) if processes.are_several() else None
    write(steps, describe(step, val_loss, leaves, logs, environment), leaves, writing)
    processes.tell("new", str(steps.resolve()))
    try:
        _read_leaves(steps, read_manifest(steps, step), leaves)
    except CheckpointError as error:
        raise SaveError(f"{error} (it was written a moment ago)") from error


def help_save_new(state: Any, step: int = 0) -> None:
    """What the other processes do while process 0 is in `save_new`: write their part, and read it all back.

    Args:
        state: the same one.
        step: likewise.

    Raises:
        SaveError: as `save_new`.
    """
    leaves = to_leaves(whole(state))
    finish_write(begin_write(None, step, state))
    steps = Path(processes.tell("new", ""))
    try:
        _read_leaves(steps, read_manifest(steps, step), leaves)
    except CheckpointError as error:
        raise SaveError(f"{error} (it was written a moment ago)") from error


def check_space(steps: Path, leaves: Leaves, count: int) -> None:
    """Makes sure that so many checkpoints of this size can be written to `steps`.

    Raises:
        SaveError: the disk has no room for them.
    """
    try:
        require_space(steps, count * sum(leaf.nbytes for leaf in leaves.values()))
    except OSError as error:
        raise SaveError(f"{steps}: no room for the checkpoints: {_reason(error)}") from error


def write(steps: Path, manifest: Manifest, leaves: Leaves, writing: "Writing | None" = None) -> None:
    """Writes a checkpoint; it appears by one rename. One that is there is replaced.

    Args:
        steps: the folder of checkpoints.
        manifest: without files as yet.
        leaves: the arrays.
        writing: what all processes have begun to write; None where there is one process, which writes them now.

    Raises:
        SaveError: it could not be written; nothing of it is left, and what was there is.
    """
    final = steps / str(manifest.step)
    new = hidden(steps, manifest.step, "new")
    try:
        if writing is None:
            _make_room(new, sum(leaf.nbytes for leaf in leaves.values()))
            import_orbax().save(new.resolve() / _ARRAYS, leaves)
        else:
            finish_write(writing)
        manifest = manifest._replace(files=hash_files(new / _ARRAYS))
        write_manifest(new, manifest)
        sync_tree(new)
        old = hidden(steps, manifest.step, "old")
        if os.path.lexists(final):
            remove_tree(old)
        put_in_place(new, final, aside=old)
        try_remove_tree(old)
    except SaveError:
        try_remove_tree(new)
        raise
    except Exception as error:  # orbax lets through errors of every kind
        try_remove_tree(new)
        raise SaveError(f"{final}: the checkpoint could not be saved: {_reason(error)}") from error


def _make_room(new: Path, size: int) -> None:
    remove_tree(new)
    new.mkdir()
    reserve(new / _ROOM, size)


class Writing(NamedTuple):
    """The arrays of a checkpoint that all processes are writing, each what it holds."""

    final: Path  # what the checkpoint will be called
    response: Any  # orbax's


def begin_write(steps: Path | None, step: int, state: Any) -> Writing:
    """Begins to write a state that several processes hold; all of them call it, in the thread that trains.

    That is where orbax wants to be called: it sends arrays around to see whether all agree about the path. What it
    writes from are copies, so the state may be donated once it returns.

    Args:
        steps: the folder of checkpoints, in process 0; the others are told where to write.
        step: the step the state was reached at.
        state: on the devices of all processes.

    Raises:
        SaveError: this process can't write there.
    """
    arrays = name_leaves(state)
    place = Path()
    try:
        if steps is not None and processes.is_first():
            place = hidden(steps, step, "new").resolve()
            _make_room(place, sum(leaf.nbytes for leaf in arrays.values()))
        place = Path(processes.tell("write", str(place)))
        if not place.is_dir():
            raise SaveError(f"{place}: not here: a run lies in a folder that all processes share")
        return Writing(place.with_name(str(step)), import_orbax().save_async(place / _ARRAYS, arrays))
    except SaveError:
        raise
    except Exception as error:  # orbax lets through errors of every kind
        raise SaveError(f"{place}: the checkpoint could not be saved: {_reason(error)}") from error


def finish_write(writing: Writing) -> None:
    """Returns when all processes have written their part.

    Raises:
        SaveError: this process could not. The others wait in vain, and must be told.
    """
    try:
        writing.response.result()
    except Exception as error:  # orbax lets through errors of every kind
        raise SaveError(f"{writing.final}: the checkpoint could not be saved: {_reason(error)}") from error


def hidden(steps: Path, step: int, kind: str) -> Path:
    """Returns the name of a checkpoint that is not to be seen: "new", "old" or "gone"."""
    return steps / f".{step}.{kind}"


# The boundary to orbax.


def import_orbax() -> Any:
    """Imports orbax at first use (it takes half a second) and stops it from logging.

    It logs every save, and the traceback of a failed one four times; what failed, we say ourselves.
    """
    from orbax.checkpoint import v1 as ocp

    logging.getLogger("absl").addFilter(_is_not_from_orbax)  # adding it again changes nothing
    return ocp


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts


def _reason(error: BaseException) -> str:
    """Why a file operation failed, in one short line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    number = re.search(r"(?:OS error |os_error_code=')(\d+)", text)  # older and newer versions of tensorstore
    if number or "RESOURCE_EXHAUSTED" in text:
        return os.strerror(int(number[1]) if number else errno.ENOSPC)
    return f"{type(error).__name__}: {text}"[:200]
