"""Checkpoints: training states in `steps/` of a run directory. The only file that imports orbax.

    steps/200/arrays/           every leaf of the state by its name ("params.1.w_x"), written by orbax
    steps/200/checkpoint.json   the step, the validation loss, shape, dtype and SHA-256 of every leaf, and the
                                SHA-256 of every file in arrays/

A state is flattened to named host arrays before it is written, so that a checkpoint knows nothing of devices
or Python types: what eight GPUs saved, one CPU loads. Orbax keeps no checksum over the data, so ours are
verified on every load: the files before orbax sees them (it answers a damaged one with errors of every kind
and tracebacks from its own threads), the leaves after. A checkpoint is written in a hidden folder, flushed to
the disk and renamed, which is why we commit it ourselves instead of leaving that to orbax's own checkpointer;
one worker thread does all of it while training goes on.
"""

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import model
from jaxrnn.config import ModelConfig
from jaxrnn.disk import put_in_place, remove_tree, reserve, sync_tree, try_remove_tree, write_text
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.run_directory import STEPS

FORMAT_VERSION = 1

Which = Literal["last", "best"]
Leaves = dict[str, np.ndarray[Any, Any]]

_MANIFEST = "checkpoint.json"
_ARRAYS = "arrays"
_ROOM = "room"


class SavedStep(NamedTuple):
    """A checkpoint that is on the disk."""

    step: int
    val_loss: float | None  # nats per character; None: not evaluated at this step


# Finding and loading.


def list_steps(run: Path) -> list[SavedStep]:
    """Returns the checkpoints of a run, the oldest first.

    Raises:
        CheckpointError: there is none, or one is damaged.
    """
    steps = run / STEPS
    while numbers := _step_numbers(steps):
        try:
            return [SavedStep(step, _read_manifest(steps, step).val_loss) for step in numbers]
        except CheckpointError:
            if _step_numbers(steps) == numbers:
                raise
            # A training that goes on has replaced a checkpoint since we looked.
    raise CheckpointError(f"{steps}: no checkpoint here")


def find_step(run: Path, which: Which = "best") -> SavedStep:
    """Returns the last checkpoint of a run, or the best: the one with the lowest validation loss.

    Where no checkpoint was evaluated, the best is the last.

    Raises:
        CheckpointError: there is none, or one is damaged.
    """
    return _choose(list_steps(run), which)


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
            if step in _step_numbers(run / STEPS):
                raise


def _load(steps: Path, step: int, part: str, abstract: Any) -> Any:
    manifest = _read_manifest(steps, step)
    shapes = _named(abstract, part, lambda leaf: jax.eval_shape(_as_data, leaf) if _is_key(leaf) else leaf)
    saved = {name: info for name, info in manifest.leaves.items() if _is_in(name, part)}
    _compare(steps / str(step), saved, shapes)
    leaves = _read_leaves(steps, manifest, shapes)

    def restore(path: Any, leaf: Any) -> Any:
        # On the default device but not committed to it: a computation may still take it to another.
        data = jnp.array(leaves[_name(path, part)])
        return _as_key(data, leaf) if _is_key(leaf) else data

    return jax.tree_util.tree_map_with_path(restore, abstract)


def _choose(steps: list[SavedStep], which: Which) -> SavedStep:
    evaluated = [saved for saved in steps if saved.val_loss is not None]
    if which == "best" and evaluated:
        return min(evaluated, key=lambda saved: saved.val_loss or 0.0)
    return steps[-1]


def _step_numbers(steps: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in steps.iterdir() if re.fullmatch(r"0|[1-9][0-9]*", path.name))
    except OSError as error:
        raise CheckpointError(f"{steps}: no checkpoints here: {_reason(error)}") from error


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
    leaves = _to_host(state)
    _write(steps, _describe(step, None, leaves), leaves)
    try:
        _read_leaves(steps, _read_manifest(steps, step), leaves)
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
        self._saved = {step: _val_loss_if_readable(self._steps, step) for step in _step_numbers(self._steps)}

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
        leaves = _to_host(state)
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
        return _choose(steps, which) if steps else None

    def _save(self, step: int, leaves: Leaves, val_loss: float | None) -> None:
        """Runs in the worker thread."""
        manifest = _describe(step, val_loss, leaves)
        if not self._is_saved(manifest):
            _write(self._steps, manifest, leaves)
            self._saved[step] = manifest.val_loss
        keep = {saved.step for saved in (self.last, self.best) if saved is not None}
        for old in sorted(set(self._saved) - keep):
            del self._saved[old]
            _discard(self._steps, old)

    def _is_saved(self, manifest: "_Manifest") -> bool:
        """Whether this very state is on the disk, and nothing new is known of it."""
        if manifest.step not in self._saved:
            return False
        try:
            there = _read_manifest(self._steps, manifest.step)
        except CheckpointError:
            return False
        return there.leaves == manifest.leaves and manifest.val_loss in (None, there.val_loss)


def _write(steps: Path, manifest: "_Manifest", leaves: Leaves) -> None:
    """Writes a checkpoint; it appears by one rename. One that is there is replaced."""
    final = steps / str(manifest.step)
    new = _hidden(steps, manifest.step, "new")
    try:
        remove_tree(new)
        new.mkdir()
        reserve(new / _ROOM, sum(leaf.nbytes for leaf in leaves.values()))
        _import_orbax().save(new.resolve() / _ARRAYS, leaves)
        manifest = manifest._replace(files=_hash_files(new / _ARRAYS))
        write_text(new / _MANIFEST, _to_json(manifest))
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


# The manifest: what is in a checkpoint, and how it must hash.


class _Leaf(NamedTuple):
    shape: tuple[int, ...]
    dtype: str
    sha256: str


class _Manifest(NamedTuple):
    step: int
    val_loss: float | None
    leaves: dict[str, _Leaf]
    files: dict[str, str]  # SHA-256 by path in arrays/


def _describe(step: int, val_loss: float | None, leaves: Leaves) -> _Manifest:
    if val_loss is not None and not math.isfinite(val_loss):
        val_loss = None
    described = {name: _Leaf(leaf.shape, leaf.dtype.name, _hash(leaf)) for name, leaf in leaves.items()}
    return _Manifest(step, val_loss, described, {})


def _hash(array: np.ndarray[Any, Any]) -> str:
    # Through bytes, because bfloat16 has no buffer of its own.
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def _to_json(manifest: _Manifest) -> str:
    content = {
        "format_version": FORMAT_VERSION,
        "step": manifest.step,
        "val_loss": manifest.val_loss,
        "leaves": {name: leaf._asdict() for name, leaf in manifest.leaves.items()},
        "files": manifest.files,
    }
    return json.dumps({**content, "sha256": _hash_json(content)}, indent=1) + "\n"


def _hash_files(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash_file(path) for path in files}


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_files(folder: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        path = folder / name
        try:
            found = _hash_file(path)
        except OSError as error:
            raise CheckpointError(f"{path}: damaged checkpoint: {_reason(error)}") from error
        if found != expected:
            raise CheckpointError(f"{path}: damaged checkpoint: the checksum of this file does not match")


def _hash_json(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_manifest(steps: Path, step: int) -> _Manifest:
    path = steps / str(step) / _MANIFEST
    try:
        content = json.loads(path.read_bytes())
        version = content["format_version"]
        if type(version) is int and version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: the checkpoint has format version {version}, this jaxrnn knows versions up to "
                f"{FORMAT_VERSION}: update jaxrnn"
            )
        if content.pop("sha256") != _hash_json(content) or content["step"] != step:
            raise CheckpointError(f"{path}: damaged: its checksum does not match")
        leaves = {
            name: _Leaf(tuple(leaf["shape"]), leaf["dtype"], leaf["sha256"])
            for name, leaf in content["leaves"].items()
        }
        return _Manifest(step, content["val_loss"], leaves, content["files"])
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: damaged checkpoint: the file is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint: {_reason(error)}") from error


def _val_loss_if_readable(steps: Path, step: int) -> float | None:
    try:
        return _read_manifest(steps, step).val_loss
    except CheckpointError:
        return None


def _compare(place: Path, saved: Mapping[str, _Leaf], wanted: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another structure, before anything is allocated for it."""
    for name in sorted(wanted.keys() | saved.keys()):
        if name not in saved:
            raise CheckpointError(f"{place}: does not fit: it has no {name}")
        if name not in wanted:
            raise CheckpointError(f"{place}: does not fit: it has {name}, which is not in this model")
        there = f"{saved[name].dtype}{list(saved[name].shape)}"
        here = f"{wanted[name].dtype.name}{list(wanted[name].shape)}"
        if there != here:
            raise CheckpointError(f"{place}: does not fit: {name} is {there}, but {here} is asked for")


def _read_leaves(steps: Path, manifest: _Manifest, wanted: Mapping[str, Any]) -> Leaves:
    """Reads the leaves named in `wanted`, and verifies their hashes."""
    place = steps / str(manifest.step)
    _verify_files(place / _ARRAYS, manifest.files)
    ocp = _import_orbax()
    targets = {
        name: np.empty(leaf.shape, wanted[name].dtype) if name in wanted else ocp.PLACEHOLDER
        for name, leaf in manifest.leaves.items()
    }
    try:
        leaves = ocp.load(place.resolve() / _ARRAYS, targets)
    except Exception as error:  # orbax lets through errors of every kind
        raise CheckpointError(f"{place}: damaged checkpoint: {_reason(error)}") from error
    for name in wanted:
        if _hash(leaves[name]) != manifest.leaves[name].sha256:
            raise CheckpointError(f"{place}: damaged checkpoint: the checksum of {name} does not match")
    return {name: leaves[name] for name in wanted}


# Between a pytree and its named leaves.


def _named(tree: Any, part: str, convert: Callable[[Any], Any]) -> dict[str, Any]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path, part): convert(leaf) for path, leaf in paths}


def _name(path: Any, part: str) -> str:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return ".".join(filter(None, (part, name)))


def _is_in(name: str, part: str) -> bool:
    return not part or name == part or name.startswith(f"{part}.")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_data(leaf: Any) -> Any:
    """A typed random key as the integers it is made of; anything else as it is."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as_key(data: jax.Array, like: Any) -> jax.Array:
    """The typed random key made of these integers, of the kind that `like` is, which may be abstract."""
    kinds: list[Any] = []
    jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), like)  # key_impl wants no abstract key
    key: jax.Array = jax.random.wrap_key_data(data, impl=kinds[0])
    return key


def _to_host(state: Any) -> Leaves:
    # np.array copies: on the CPU, device_get hands out the very buffer that the caller goes on to use.
    leaves = jax.device_get(_named(state, "", _as_data))
    return {name: np.array(leaf) for name, leaf in leaves.items()}


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
