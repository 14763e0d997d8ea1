"""The checkpoints of a run, open for writing: saved on a thread of their own, kept or deleted, and gone back to."""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from jaxrnn.disk import reason, remove_tree, sync, try_remove_tree
from jaxrnn.errors import CheckpointError, DamagedError, SaveError
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import whole
from jaxrnn.runs.checkpoint import (
    MOST_AT_ONCE,
    Writing,
    begin_write,
    check_space,
    finish_write,
    hidden,
    import_orbax,
    load_step,
    verify,
    write,
)
from jaxrnn.runs.directory import STEPS
from jaxrnn.runs.lock import lock_run, unlock_run
from jaxrnn.runs.logs import cut_logs, log_lengths
from jaxrnn.runs.manifest import Manifest, describe, read_manifest, val_loss_if_readable
from jaxrnn.runs.saved_steps import SavedStep, Which, choose, step_numbers
from jaxrnn.training.leaves import Leaves, to_leaves

_LAST = 2  # how many of the last checkpoints are kept
_RETRY_SECONDS = 1.0  # before a save that failed is tried a second time


class Restored(NamedTuple):
    """What a run goes on from."""

    state: Any
    step: int
    environment: dict[str, str]  # what the state was reached on
    damaged: tuple[str, ...]  # what was found wrong with other checkpoints, which are out of the way now


class Checkpoints:
    """The checkpoints of a run, open for writing, to one process alone.

    Of several processes all have one, and use it alike; process 0's is the one that is described here. The others only
    write their part, read what process 0 has found whole, and wait for nobody.

    The last two are kept, so that one is good should the other be damaged, and the best; others are deleted. One
    worker thread writes them while training goes on. Use it as a context manager: leaving waits for the save that is
    under way, and lets go of the run.

    Raises:
        LockedError: another process writes to the run.
        SaveError: the run can't be written.
    """

    def __init__(self, run: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Locks the run, and cleans up what a killed process left in `steps/`."""
        self._run = run
        self._steps = run / STEPS
        self._environment = environment
        self._pending: Future[None] | None = None
        self._saved: dict[int, float | None] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._lock: int | None = None
        if processes.is_first():
            self._open(run)

    def _open(self, run: Path) -> None:
        try:
            if self._steps.is_symlink():
                raise CheckpointError(f"{self._steps}: a symbolic link; nothing is deleted through one")
            self._lock = lock_run(run)
        except OSError as error:
            raise SaveError(f"{run}: can't be written: {reason(error)}") from error
        try:
            import_orbax()  # now, in this thread: the first save shall not have to
            _tidy(self._steps)
            steps = step_numbers(self._steps)
            self._saved = {step: val_loss_if_readable(self._steps, step) for step in steps}
        except OSError as error:
            unlock_run(self._lock)
            raise SaveError(f"{self._steps}: can't be written: {reason(error)}") from error
        except BaseException:
            unlock_run(self._lock)
            raise

    @property
    def last(self) -> SavedStep | None:
        """The last checkpoint on the disk."""
        return self._find("last")

    @property
    def best(self) -> SavedStep | None:
        """The checkpoint on the disk with the lowest validation loss; the last where none was evaluated."""
        return self._find("best")

    def restore(self, abstract: Any) -> Restored:
        """Loads the last state that is whole, and takes the run back to it.

        The logs lose what was written after it. Checkpoints that are damaged are renamed to `N.damaged`, out of the
        way of those to come.

        Args:
            abstract: a pytree of the same structure, as for `load_state`.

        Raises:
            CheckpointError: no checkpoint is whole, or the last one is not of this structure.
            SaveError: the run can't be written, or has no room for more checkpoints.
        """
        self.wait()
        if not processes.is_first():
            step = int(processes.tell("restore", ""))
            self._saved = {step: None}
            return Restored(load_step(self._steps, step, abstract), step, {}, ())
        sound: dict[int, Manifest] = {}
        damaged: dict[int, str] = {}
        for step in sorted(self._saved):
            try:
                sound[step] = verify(self._steps, step)
            except DamagedError as error:
                damaged[step] = str(error)
        if not sound:
            message = damaged[max(damaged)] if damaged else f"{self._steps}: no checkpoint here"
            raise CheckpointError(f"{message}; no other checkpoint of this run is whole")
        last = sound[max(sound)]
        processes.tell("restore", str(last.step))
        state = load_step(self._steps, last.step, abstract)
        check_space(self._steps, to_leaves(state), max(1, MOST_AT_ONCE - len(sound)))
        try:
            for step in damaged:
                _set_aside(self._steps, step)
                del self._saved[step]
        except OSError as error:
            raise SaveError(f"{self._steps}: can't be written: {reason(error)}") from error
        cut_logs(self._run, last.logs)
        return Restored(state, last.step, last.environment, tuple(damaged.values()))

    def save(self, step: int, state: Any, val_loss: float | None = None) -> None:
        """Starts to save a state; returns once a copy of it is on the host, so that it may be donated.

        Waits first for the save before it. If that one failed, twice, its error is raised here and nothing is
        saved; the next call tries afresh. (In several processes it fails at once, and then they have to end.)

        Args:
            step: the step the state was reached at. A state that is saved already is not written again.
            state: any pytree of arrays; typed random keys are welcome.
            val_loss: nats per character; None, or not finite: not evaluated.

        Raises:
            SaveError: the save before could not be written.
        """
        self.wait()
        readable = whole(state)
        writing = begin_write(self._steps, step, state) if processes.are_several() else None
        if processes.is_first():
            leaves, logs = to_leaves(readable), log_lengths(self._run)
            self._pending = self._worker.submit(self._save, step, leaves, val_loss, logs, writing)
        elif writing is not None:
            self._pending = self._worker.submit(self._help, step, writing)

    def wait(self) -> None:
        """Returns when what was saved is on the disk.

        Raises:
            SaveError: it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Waits, and lets go of the worker thread and of the run.

        Raises:
            SaveError: the last save could not be written.
        """
        try:
            self.wait()
        finally:
            self._worker.shutdown()
            if self._lock is not None:
                unlock_run(self._lock)

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

    def _help(self, step: int, writing: Writing) -> None:
        """Runs in the worker thread of every process but the first."""
        finish_write(writing)
        self._saved = {step: None}

    def _save(
        self,
        step: int,
        leaves: Leaves,
        val_loss: float | None,
        logs: Mapping[str, int],
        writing: Writing | None,
    ) -> None:
        """Runs in the worker thread."""
        manifest = describe(step, val_loss, leaves, logs, self._environment)
        if writing is not None:
            write(self._steps, manifest, leaves, writing)
            self._saved[step] = manifest.val_loss
        elif not self._is_saved(manifest):
            try:
                write(self._steps, manifest, leaves)
            except SaveError:  # a disk that was full for a moment, a file server that was away
                time.sleep(_RETRY_SECONDS)
                write(self._steps, manifest, leaves)
            self._saved[step] = manifest.val_loss
        best = {self.best.step} if self.best else set()
        for old in sorted(set(self._saved) - set(sorted(self._saved)[-_LAST:]) - best):
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
        is_same = (there.leaves, there.logs) == (manifest.leaves, manifest.logs)
        return is_same and manifest.val_loss in (None, there.val_loss)


def _discard(steps: Path, step: int) -> None:
    """Deletes a checkpoint. It loses its name first: half of one must never look like one."""
    gone = hidden(steps, step, "gone")
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


def _set_aside(steps: Path, step: int) -> None:
    """Renames a damaged checkpoint, so that it is no checkpoint any more but can still be looked at."""
    aside = steps / f"{step}.damaged"
    remove_tree(aside)
    (steps / str(step)).rename(aside)
    sync(steps)
