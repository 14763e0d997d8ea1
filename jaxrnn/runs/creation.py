"""A new run: where one may be created, and how.

It is built in a hidden folder next to its destination and appears by one rename, complete, with a first checkpoint
inside. A run that is overwritten changes places with the new one in one step, and is deleted then.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxrnn import disk
from jaxrnn.config import Config
from jaxrnn.data.vocabulary import Vocabulary, vocabulary_to_json
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.runs import directory
from jaxrnn.runs.checkpoint import orbax_path, save_new
from jaxrnn.runs.directory import RunRecord, is_run
from jaxrnn.runs.lock import LOCK, locked, remove_abandoned, unfinished
from jaxrnn.runs.saved_steps import SavedStep

# What file managers put into a folder that a user takes for empty.
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


class RunExistsError(CheckpointError):
    """A run is in the way of a new one: resume it, overwrite it, or write elsewhere."""


def check_destination(path: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse a place where no new run can be created; write nothing. Missing parents are fine.

    Args:
        path: Where the run is to appear.
        overwrite: Whether a run that is there may be replaced.
        inputs: Files and folders that the new run is made from.

    Raises:
        RunExistsError: A run is there, and `overwrite` is False.
        CheckpointError: A file, a link to a run or a folder that is not a run is there, it lies inside another run or
            is the working directory, it can't be written, its name can't be used, or an input lies in the run that
            would be replaced.
    """
    try:
        _check_destination(path, overwrite, inputs)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise CheckpointError(f"{path}: can't be used as a run directory: {disk.reason(error)}") from error


def _check_destination(path: Path, overwrite: bool, inputs: Sequence[Path]) -> None:
    if path.name == ".." or "\0" in str(path):
        raise CheckpointError(f"{path}: not a name for a run directory")
    if any(each.name.startswith("~") and not each.exists() for each in (path, *path.parents)):
        # A shell would take it for a home.
        raise CheckpointError(f"{path}: no folder is made whose name begins with ~; name another one")
    if path.is_dir() and Path.cwd().is_relative_to(path.resolve()):
        # The shell would be left in a folder that is gone.
        raise CheckpointError(f"{path}: the working directory lies here; name another run directory")
    target = _resolve(path)
    orbax_path(target)  # raises for a path that orbax misreads
    if path.is_symlink() and is_run(target):
        raise CheckpointError(
            f"{path}: a symbolic link to a run, which is not replaced by it; name its target"
        )
    if target.is_dir():
        if is_run(target):
            if not overwrite:
                raise RunExistsError(f"{path}: a run exists here: resume it, overwrite it, or name another")
            for given in inputs:
                if Path(os.path.realpath(given)).is_relative_to(target):
                    raise CheckpointError(
                        f"{path}: holds an input, {given}; copy that, or name another run directory"
                    )
        elif any(entry.name not in _LITTER for entry in target.iterdir()):
            raise CheckpointError(
                f"{path}: a directory, but no run ({directory.why_no_run(target)}); left alone"
            )
    elif os.path.lexists(target):
        raise CheckpointError(f"{path}: a file is here; name another run directory")
    for above in target.parents:
        if is_run(above):
            raise CheckpointError(f"{path}: lies inside the run {above}; name another run directory")
    ground = next(above for above in target.parents if os.path.lexists(above))
    if not (ground.is_dir() and os.access(ground, os.W_OK | os.X_OK)):
        raise CheckpointError(f"{path}: {ground} is not a folder that can be written")


def create_run(
    path: Path,
    config: Config,
    vocabulary: Vocabulary,
    record: RunRecord,
    state: Any,
    *,
    overwrite: bool = False,
    val_loss: float | None = None,
    metrics: Sequence[Mapping[str, object]] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Create a run directory with its first checkpoint, step 0; it appears at `path` at once and complete.

    Args:
        path: Where; missing parents are made.
        config: Resolved.
        vocabulary: The tokens of the model.
        record: What to remember of the corpus and the versions.
        state: The training state before the first step, any pytree of arrays.
        overwrite: Whether to replace a run that is there. It is deleted when the new one is in its place; a process
            killed at any moment leaves one of the two there.
        val_loss: Of the state, in nats per token, where it is known.
        metrics: Rows that metrics.csv begins with.
        environment: What the run trains on, `jaxrnn.runs.environment`.

    Raises:
        CheckpointError: `path` can't be used (see `check_destination`); nothing was written.
        LockedError: Another process creates this run, or writes to the one that is to be replaced.
        SaveError: Writing failed; what was at `path` is still there.
    """
    check_destination(path, overwrite=overwrite)
    target = _resolve(path)
    remove_abandoned(target.parent)
    new = unfinished(target)
    try:
        if new.is_symlink():
            new.unlink()
        new.mkdir(parents=True, exist_ok=True)
        with locked(new):
            try:
                for entry in list(new.iterdir()):
                    if entry.name != LOCK:  # left by a killed process
                        disk.remove_tree(entry)
                directory.write_record(new, record)
                directory.write_config(new, config)
                disk.write_text(new / directory.VOCABULARY, vocabulary_to_json(vocabulary))
                disk.write_text(new / directory.METRICS, directory.METRICS_HEAD + "\n")
                disk.write_text(new / directory.SAMPLES, "")
                for row in metrics:
                    directory.append_metrics(new, row)
                steps = new / directory.STEPS
                steps.mkdir()
                save_new(steps, state, SavedStep(0, val_loss, directory.log_lengths(new), dict(environment)))
                disk.sync_tree(new)
                replace = overwrite and is_run(target)
                for name in () if is_run(target) else _LITTER:
                    (target / name).unlink(missing_ok=True)
                with locked(target) if replace else contextlib.nullcontext():
                    disk.put_in_place(new, target, replace=replace)
            finally:
                disk.try_remove_tree(new)  # half a run, or the one that was replaced
    except CheckpointError as error:  # named as the user knows it
        raise type(error)(str(error).replace(str(new), str(path))) from error
    except OSError as error:
        raise SaveError(f"{path}: the run could not be created: {disk.reason(error)}") from error


def _resolve(path: Path) -> Path:
    """Return where a run at `path` would be: links lead to their targets, whether these exist or not."""
    return Path(os.path.realpath(path))
