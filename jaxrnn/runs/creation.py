"""A new run: where one may go, and how it gets there.

It is built in a hidden folder beside its destination and appears by one rename, whole, with a first checkpoint
inside. Overwriting moves the old run aside, puts the new one in its place, and only then deletes. What a process
left that was killed meanwhile, the next one that goes there puts right.
"""

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxrnn.config import Config, dump_config
from jaxrnn.data.vocabulary import Vocabulary, vocabulary_to_json
from jaxrnn.disk import put_in_place, reason, remove_tree, sync_tree, try_remove_tree, write_text
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.runs.checkpoint import save_new
from jaxrnn.runs.directory import (
    CONFIG,
    METRICS,
    METRICS_COLUMNS,
    RECORD,
    SAMPLES,
    STEPS,
    VOCABULARY,
    RunRecord,
    append_metrics,
    is_run,
    why_no_run,
    write_record,
)
from jaxrnn.runs.lock import lock_run, unlock_run
from jaxrnn.runs.logs import log_lengths


class RunExistsError(CheckpointError):
    """A run is in the way of a new one: resume it, overwrite it, or write elsewhere."""


def check_destination(path: Path, *, overwrite: bool = False) -> None:
    """Refuses a place where no new run can go; writes nothing. Missing parents are fine.

    Args:
        path: where the run is to appear.
        overwrite: whether a run that is there may be replaced.

    Raises:
        RunExistsError: a run is there, and `overwrite` is False.
        CheckpointError: a file, a symbolic link or a foreign folder is there, it lies inside another run or is
            the working directory, or it can't be written.
    """
    try:
        _check_destination(path, overwrite)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise CheckpointError(f"{path}: can't be used as a run directory: {reason(error)}") from error


def _check_destination(path: Path, overwrite: bool) -> None:
    if path.name == ".." or "\0" in str(path):
        raise CheckpointError(f"{path}: no name for a run directory")
    if path.is_dir() and Path.cwd().is_relative_to(path.resolve()):
        # Renaming it would pull the ground from under the shell.
        raise CheckpointError(f"{path}: the working directory lies here; name another run directory")
    target = _absolute(path)
    if path.is_symlink():
        raise CheckpointError(f"{path}: a symbolic link, which is never replaced; name what it points to")
    if target.is_dir():
        if is_run(target):
            if not overwrite:
                raise RunExistsError(f"{path}: a run exists here: resume it, overwrite it, or go elsewhere")
        elif any(target.iterdir()):
            raise CheckpointError(f"{path}: a directory, but no run ({why_no_run(target)}); left alone")
    elif os.path.lexists(target):
        raise CheckpointError(f"{path}: a file is here; name another run directory")
    for above in target.parents:
        if is_run(above):
            raise CheckpointError(f"{path}: lies inside the run {above}; name another run directory")
    ground = next(above for above in target.parents if os.path.lexists(above))
    if not ground.is_dir():
        raise CheckpointError(f"{path}: {ground} is no directory")
    if not os.access(ground, os.W_OK | os.X_OK):
        raise CheckpointError(f"{path}: {ground} can't be written")


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
    """Creates a run directory with its first checkpoint, step 0; it appears at `path` at once and whole.

    Args:
        path: where; missing parents are made.
        config: resolved.
        vocabulary: the characters the model knows.
        record: what to remember of the corpus and the versions.
        state: the training state before the first step, any pytree of arrays.
        overwrite: whether to replace a run that is there. It is deleted after the new one is in its place; a
            process killed in between loses neither.
        val_loss: of the state, in nats per character, where it is known.
        metrics: rows that metrics.csv begins with.
        environment: what the run trains on, `jaxrnn.runs.environment`.

    Raises:
        CheckpointError: `path` can't be used (see `check_destination`); nothing was written.
        LockedError: the run that is to be replaced is being written.
        SaveError: writing failed; what was at `path` is still there.
    """
    check_destination(path, overwrite=overwrite)
    target = _absolute(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _tidy(target)
        check_destination(path, overwrite=overwrite)  # tidying can have brought a run back
        with _hidden_sibling(target) as new:
            # The record comes first: by it a folder left by a killed process is known as ours.
            write_record(new, record)
            write_text(new / CONFIG, dump_config(config))
            write_text(new / VOCABULARY, vocabulary_to_json(vocabulary))
            write_text(new / METRICS, ",".join(METRICS_COLUMNS) + "\n")
            write_text(new / SAMPLES, "")
            for row in metrics:
                append_metrics(new, row)
            (new / STEPS).mkdir()
            try:
                save_new(new / STEPS, state, 0, val_loss, log_lengths(new), environment)
            except SaveError as error:  # named as the user knows it
                raise SaveError(str(error).replace(str(new), str(path))) from error
            sync_tree(new)
            old = _sibling(target, "old") if overwrite and is_run(target) else None
            with _locked(target) if old else contextlib.nullcontext():
                put_in_place(new, target, aside=old)
        if old is not None:
            _delete_run(old, target)
    except OSError as error:
        raise SaveError(f"{path}: the run could not be created: {reason(error)}") from error


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Makes sure that nobody writes to a run while it is moved out of the way."""
    handle = lock_run(run)
    try:
        yield
    finally:
        unlock_run(handle)


@contextlib.contextmanager
def _hidden_sibling(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, locked while we live; deleted if it has not been renamed by the end."""
    folder = _sibling(path, "new")
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)
        try_remove_tree(folder)


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _tidy(path: Path) -> None:
    """Cleans up after processes that were killed while they created the run `path`.

    A half-made folder is deleted once nobody holds its lock, and a half-deleted one at once. A run moved aside
    is brought back if nothing has taken its place, and deleted otherwise.
    """
    pattern = re.compile(re.escape(f".{path.name}.") + r"(new|old|gone)-[0-9a-f]{8}")
    for entry in list(path.parent.iterdir()):
        match = pattern.fullmatch(entry.name)
        if match is None or entry.is_symlink() or not _is_ours(entry):
            continue
        if match[1] == "old" and not os.path.lexists(path):
            entry.rename(path)
        elif match[1] != "new" or not _is_locked(entry):
            _delete_run(entry, path)


def _is_ours(folder: Path) -> bool:
    """Whether a folder with one of our hidden names is a run, or was killed just before or after it was one."""
    return is_run(folder) or (
        folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {f".{RECORD}.new"}
    )


def _delete_run(folder: Path, path: Path) -> None:
    """Deletes what was the run `path` or was to be; what can't be deleted now stays for the next time."""
    with contextlib.suppress(OSError):
        gone = folder.rename(_sibling(path, "gone"))
        for entry in list(gone.iterdir()):
            if entry.name != RECORD:  # the record last: by it what is left is known as ours
                remove_tree(entry)
        remove_tree(gone)


def _is_locked(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _absolute(path: Path) -> Path:
    """`path` with links resolved everywhere but in its last name."""
    return path.parent.resolve() / path.name
