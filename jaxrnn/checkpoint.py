"""Checkpoints: training states in `steps/` of a run directory. The only file that imports orbax.

    steps/200/arrays/           every leaf of the state by its name (`jaxrnn.leaves`), written by orbax
    steps/200/checkpoint.json   what these are and how they must hash (`jaxrnn.manifest`)

Orbax keeps no checksum over the data, so ours are verified on every load: the files before orbax sees them (it
answers a damaged one with errors of every kind and tracebacks from its own threads), the leaves after. A
checkpoint is written in a hidden folder, flushed to the disk and renamed, which is why we commit it ourselves
instead of leaving that to orbax's own checkpointer; one worker thread does all of it while training goes on.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from jaxrnn import model
from jaxrnn.config import ModelConfig
from jaxrnn.disk import put_in_place, remove_tree, reserve, sync_tree, try_remove_tree
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.leaves import Leaves, abstract_leaves, from_leaves, is_in, to_leaves
from jaxrnn.manifest import (
    Manifest,
    check_fit,
    describe,
    hash_files,
    read_manifest,
    val_loss_if_readable,
    verify_files,
    verify_leaves,
    write_manifest,
)
from jaxrnn.run_directory import STEPS
from jaxrnn.saved_steps import SavedStep, Which, choose, find_step, step_numbers

_ARRAYS = "arrays"
_ROOM = "room"


# Loading.


def load_params(run: Path, model_config: ModelConfig, vocabulary_size: int, which: Which = "best") -> Any:
    """Loads the parameters of a run, and nothing else of its state.

    Args:
        run: the run directory.
        model_config: the layers that the parameters are for.
        vocabulary_size: number of characters.
        which: the best checkpoint by validation loss, or the last.

    Returns:
        What `model.init` returns, on the default device.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or its parameters are of other shapes.
    """
    abstract = jax.eval_shape(lambda: model.init(jax.random.key(0), model_config, vocabulary_size))
    return load_part(run, "params", abstract, which)


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
    return load_part(run, "", abstract_state, which)


def load_part(run: Path, part: str, abstract: Any, which: Which) -> Any:
    """Loads one part of a state, "params" say, or all of it: "".

    Raises:
        CheckpointError: as `load_params` and `load_state`.
    """
    while True:
        step = find_step(run, which).step
        try:
            return _load(run / STEPS, step, part, abstract)
        except CheckpointError:
            # A training that goes on may have replaced this checkpoint by a newer one while we read it.
            if step in step_numbers(run / STEPS):
                raise


def _load(steps: Path, step: int, part: str, abstract: Any) -> Any:
    manifest = read_manifest(steps, step)
    wanted = abstract_leaves(abstract, part)
    saved = {name: leaf for name, leaf in manifest.leaves.items() if is_in(name, part)}
    check_fit(steps / str(step), saved, wanted)
    return from_leaves(_read_leaves(steps, manifest, wanted), abstract, part)


def _read_leaves(steps: Path, manifest: Manifest, wanted: Mapping[str, Any]) -> Leaves:
    """Reads the leaves named in `wanted`, and verifies their hashes."""
    place = steps / str(manifest.step)
    verify_files(place / _ARRAYS, manifest)
    ocp = _import_orbax()
    targets = {
        name: np.empty(leaf.shape, wanted[name].dtype) if name in wanted else ocp.PLACEHOLDER
        for name, leaf in manifest.leaves.items()
    }
    try:
        leaves = ocp.load(place.resolve() / _ARRAYS, targets)
    except Exception as error:  # orbax lets through errors of every kind
        raise CheckpointError(f"{place}: damaged checkpoint: {_reason(error)}") from error
    read = {name: leaves[name] for name in wanted}
    verify_leaves(place, manifest, read)
    return read


# Saving.


def save_new(steps: Path, state: Any, step: int = 0) -> None:
    """Saves the first checkpoint of a run, and reads it back to see that saving works here.

    Args:
        steps: the folder of checkpoints; it exists.
        state: any pytree of arrays; typed random keys are welcome.
        step: the step it was reached at.

    Raises:
        SaveError: it could not be written, or was not read back as it was.
    """
    leaves = to_leaves(state)
    _write(steps, describe(step, None, leaves), leaves)
    try:
        _read_leaves(steps, read_manifest(steps, step), leaves)
    except CheckpointError as error:
        raise SaveError(f"{error} (it was written a moment ago)") from error


class Checkpoints:
    """The checkpoints of a run, open for writing: keeps the last and the best, and deletes the others.

    Use it as a context manager: leaving waits for the save that is under way.

    Raises:
        SaveError: `steps/` can't be written.
    """

    def __init__(self, run: Path) -> None:
        """Opens `steps/` of the run, and cleans up what a killed process left there."""
        self._steps = run / STEPS
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None
        _import_orbax()  # now, in this thread: the first save shall not have to
        try:
            if self._steps.is_symlink():
                raise CheckpointError(f"{self._steps}: a symbolic link; nothing is deleted through one")
            _tidy(self._steps)
        except OSError as error:
            raise SaveError(f"{self._steps}: can't be written: {_reason(error)}") from error
        self._saved = {step: val_loss_if_readable(self._steps, step) for step in step_numbers(self._steps)}

    @property
    def last(self) -> SavedStep | None:
        """The last checkpoint on the disk."""
        return self._find("last")

    @property
    def best(self) -> SavedStep | None:
        """The checkpoint on the disk with the lowest validation loss; the last where none was evaluated."""
        return self._find("best")

    def save(self, step: int, state: Any, val_loss: float | None = None) -> None:
        """Starts to save a state; returns once a copy of it is on the host, so that it may be donated.

        Waits first for the save before it. If that one failed, its error is raised here and nothing is
        saved; the next call tries afresh.

        Args:
            step: the step the state was reached at. A state that is saved already is not written again.
            state: any pytree of arrays; typed random keys are welcome.
            val_loss: nats per character; None, or not finite: not evaluated.

        Raises:
            SaveError: the save before could not be written.
        """
        self.wait()
        leaves = to_leaves(state)
        self._pending = self._worker.submit(self._save, step, leaves, val_loss)

    def wait(self) -> None:
        """Returns when what was saved is on the disk.

        Raises:
            SaveError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits, and lets go of the worker thread.

        Raises:
            SaveError: the last save could not be written.
        """
        try:
            self.wait()
        finally:
            self._worker.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SaveError:
            if kind is None:  # else what went wrong inside is the better news
                raise

    def _find(self, which: Which) -> SavedStep | None:
        steps = [SavedStep(*item) for item in sorted(self._saved.copy().items())]
        return choose(steps, which) if steps else None

    def _save(self, step: int, leaves: Leaves, val_loss: float | None) -> None:
        """Runs in the worker thread."""
        manifest = describe(step, val_loss, leaves)
        if not self._is_saved(manifest):
            _write(self._steps, manifest, leaves)
            self._saved[step] = manifest.val_loss
        keep = {saved.step for saved in (self.last, self.best) if saved is not None}
        for old in sorted(set(self._saved) - keep):
            del self._saved[old]
            _discard(self._steps, old)

    def _is_saved(self, manifest: Manifest) -> bool:
        """Whether this very state is on the disk, and nothing new is known of it."""
        if manifest.step not in self._saved:
            return False
        try:
            there = read_manifest(self._steps, manifest.step)
        except CheckpointError:
            return False
        return there.leaves == manifest.leaves and manifest.val_loss in (None, there.val_loss)


def _write(steps: Path, manifest: Manifest, leaves: Leaves) -> None:
    """Writes a checkpoint; it appears by one rename. One that is there is replaced."""
    final = steps / str(manifest.step)
    new = _hidden(steps, manifest.step, "new")
    try:
        remove_tree(new)
        new.mkdir()
        reserve(new / _ROOM, sum(leaf.nbytes for leaf in leaves.values()))
        _import_orbax().save(new.resolve() / _ARRAYS, leaves)
        manifest = manifest._replace(files=hash_files(new / _ARRAYS))
        write_manifest(new, manifest)
        sync_tree(new)
        old = _hidden(steps, manifest.step, "old")
        if os.path.lexists(final):
            remove_tree(old)
        put_in_place(new, final, aside=old)
        try_remove_tree(old)
    except Exception as error:  # orbax lets through errors of every kind
        try_remove_tree(new)
        raise SaveError(f"{final}: the checkpoint could not be saved: {_reason(error)}") from error


def _discard(steps: Path, step: int) -> None:
    """Deletes a checkpoint. It loses its name first: half of one must never look like one."""
    gone = _hidden(steps, step, "gone")
    with contextlib.suppress(OSError):
        (steps / str(step)).rename(gone)
    try_remove_tree(gone)


def _tidy(steps: Path) -> None:
    """Cleans up after a process that was killed while it saved."""
    for entry in list(steps.iterdir()):
        match = re.fullmatch(r"\.([0-9]+)\.(new|old|gone)", entry.name)
        if match is None:
            continue
        if match[2] == "old" and not os.path.lexists(steps / match[1]):
            entry.rename(steps / match[1])
        else:
            remove_tree(entry)


def _hidden(steps: Path, step: int, kind: str) -> Path:
    return steps / f".{step}.{kind}"


# The boundary to orbax.


def _import_orbax() -> Any:
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
    number = re.search(r"OS error (\d+)", text)
    if number or "RESOURCE_EXHAUSTED" in text:
        return os.strerror(int(number[1]) if number else errno.ENOSPC)
    return f"{type(error).__name__}: {text}"[:200]
