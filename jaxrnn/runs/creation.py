"""Creation of a run directory.

A new run is built in a hidden folder next to its destination and renamed into place, complete with a first checkpoint.
An overwritten run is swapped with the new one in one step and then deleted.
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

# Files that file managers create; a folder with only these counts as empty.
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


class RunExistsError(CheckpointError):
    """A run already exists at the destination: resume it, overwrite it, or choose another directory."""


def check_destination(path: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Check that a new run can be created at `path`; write nothing. Missing parent folders are allowed.

    Args:
        path: The destination.
        overwrite: Whether an existing run may be replaced.
        inputs: Files and folders that the new run reads.

    Raises:
        RunExistsError: `path` is a run, and `overwrite` is False.
        CheckpointError: `path` is a file, a link to a run, a folder that is not a run, or the working directory; it
            lies inside another run; it can't be written; its name can't be used; or an input lies inside the run that
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
        # A shell would expand the name to a home directory.
        raise CheckpointError(f"{path}: a new folder's name can't begin with ~; name another run directory")
    if path.is_dir() and Path.cwd().is_relative_to(path.resolve()):
        # Otherwise the shell's working directory would be deleted.
        raise CheckpointError(f"{path}: contains the working directory or is it; name another run directory")
    target = _resolve(path)
    orbax_path(target)  # raises for a path that orbax misreads
    if path.is_symlink() and is_run(target):
        raise CheckpointError(
            f"{path}: a symbolic link to a run, and links are not followed here; name its target"
        )
    if target.is_dir():
        if is_run(target):
            if not overwrite:
                raise RunExistsError(f"{path}: a run exists here: resume it, overwrite it, or name another")
            for given in inputs:
                if Path(os.path.realpath(given)).is_relative_to(target):
                    raise CheckpointError(
                        f"{path}: contains an input, {given}; copy that, or name another run directory"
                    )
        elif any(entry.name not in _LITTER for entry in target.iterdir()):
            raise CheckpointError(
                f"{path}: a directory that is not a run ({directory.why_no_run(target)}); name another run directory"
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
    """Create a run directory atomically, with its first checkpoint, step 0.

    Args:
        path: The destination; missing parent folders are created.
        config: The resolved config.
        vocabulary: The tokens of the model.
        record: The content of run.json.
        state: The training state before the first step, any pytree of arrays.
        overwrite: Whether to replace an existing run. It is deleted once the new one is in place; if the process is
            killed at any moment, one of the two is left at `path`.
        val_loss: The validation loss of the state in nats per token, if known.
        metrics: The first rows of metrics.csv.
        environment: Devices and versions, from `jaxrnn.runs.environment`.

    Raises:
        CheckpointError: `path` can't be used (see `check_destination`); nothing was written.
        LockedError: Another process creates this run, or writes to the run to be replaced.
        SaveError: Writing failed; an existing run at `path` is unchanged.
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
                    if entry.name != LOCK:  # a file of a killed process
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
                disk.try_remove_tree(new)  # the incomplete run, or the replaced one
    except CheckpointError as error:  # name the destination, not the hidden folder
        raise type(error)(str(error).replace(str(new), str(path))) from error
    except OSError as error:
        raise SaveError(f"{path}: the run could not be created: {disk.reason(error)}") from error


def _resolve(path: Path) -> Path:
    """Return the real path of `path`: links are followed, even to missing targets."""
    return Path(os.path.realpath(path))
