"""Asynchronous saving of checkpoints, retention, and restoring."""

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, NamedTuple, Self

from jaxrnn.disk import remove_tree, sync, try_remove_tree, writing
from jaxrnn.errors import CheckpointError, DamagedError, SaveError
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import whole
from jaxrnn.runs.checkpoint import MOST_AT_ONCE, check_space, fit, hidden, orbax_path, read_leaves, write
from jaxrnn.runs.directory import STEPS, cut_logs, log_lengths
from jaxrnn.runs.lock import is_held, locked
from jaxrnn.runs.saved_steps import SavedStep, choose, list_steps, read_manifest, step_numbers
from jaxrnn.training.leaves import Leaves, to_leaves

_LAST = 2  # number of most recent checkpoints to keep
_RETRY_SECONDS = 1.0  # delay before a failed save is retried


class Restored(NamedTuple):
    """A restored state."""

    state: Any
    step: int
    environment: Mapping[str, str]  # devices and versions that computed the state
    damaged: tuple[str, ...]  # errors of the corrupt checkpoints that were renamed


class Checkpoints:
    """The checkpoints of a run, opened for writing.

    Kept are the last two (in case one is corrupt), the best, and one every `keep_every` steps; the others are deleted.
    A worker thread writes them while training continues. Use this as a context manager: entering locks the run and
    deletes temporary files of killed processes; leaving waits for the save in progress and releases the lock.

    With several processes, each has an instance and makes the same calls. Process 0 writes. The others send it their
    shards of a state, and restore the checkpoint that process 0 selects.

    Args:
        run: The run directory.
        environment: Devices and versions, recorded with each checkpoint.
        keep_every: Keep the checkpoints of every `keep_every` steps permanently; 0 keeps none.

    Raises:
        LockedError: On entering: another process writes to the run.
        SaveError: On entering: the run can't be written. On leaving: the last save failed.
    """

    def __init__(
        self, run: Path, environment: Mapping[str, str] = MappingProxyType({}), keep_every: int = 0
    ) -> None:
        """See the class."""
        self._run = run
        self._steps = run / STEPS
        self._environment = dict(environment)
        self._keep_every = keep_every
        self._pending: Future[None] | None = None
        self._saved: dict[int, SavedStep] = {}
        self._lock: int | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if processes.is_first():
                with writing(self._run):
                    self._lock = stack.enter_context(locked(self._run))
                    self._open()
            processes.tell("open", "")
            if not self._steps.is_dir():
                raise SaveError(f"{self._run}: not here: all processes must share the folder of the run")
            self._worker = stack.enter_context(ThreadPoolExecutor(1, "checkpoints"))
            self._stack = stack.pop_all()
        return self

    def _open(self) -> None:
        orbax_path(self._steps)  # raises for a path that orbax misreads
        if self._steps.is_symlink():
            raise CheckpointError(f"{self._steps}: a symbolic link; nothing is deleted through one")
        self._saved = {saved.step: saved for saved in list_steps(self._run)}
        for entry in list(self._steps.iterdir()):
            if re.fullmatch(r"\.[0-9]+\.tmp", entry.name):
                remove_tree(entry)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # ends the worker, then releases the lock
            if kind is None:  # an error in the context takes precedence over a save's error
                self.wait()

    @property
    def last(self) -> SavedStep | None:
        """The last checkpoint on the disk."""
        return self._find("last")

    @property
    def best(self) -> SavedStep | None:
        """The checkpoint on the disk with the lowest validation loss; the last if none was evaluated."""
        return self._find("best")

    def _find(self, which: Literal["last", "best"]) -> SavedStep | None:
        saved = self._saved.copy()  # the worker thread modifies it
        return choose([saved[step] for step in sorted(saved)], which) if saved else None

    def restore(self, abstract: Callable[[Leaves], Any]) -> Restored:
        """Restore the last intact state, and truncate the logs to its step.

        Corrupt checkpoints are renamed to `N.damaged`.

        Args:
            abstract: A function from the saved arrays to a pytree with the structure of the state; only the shapes and
                dtypes of its leaves are used.

        Raises:
            CheckpointError: No checkpoint is intact, or the last one has another structure.
            SaveError: The run can't be written, or the disk is too full for more checkpoints.
        """
        self.wait()
        good: dict[int, SavedStep] = {}
        damaged: dict[int, str] = {}
        if processes.is_first():
            for step in step_numbers(self._steps):
                try:
                    saved = read_manifest(self._steps, step)
                    read_leaves(self._steps, saved)
                    good[step] = saved
                except DamagedError as error:
                    damaged[step] = str(error)
            if not good:
                problem = damaged[max(damaged)] if damaged else f"{self._steps}: no checkpoint here"
                raise CheckpointError(f"{problem}; no other checkpoint of this run is intact")
        last = read_manifest(self._steps, int(processes.tell("restore", str(max(good, default=0)))))
        leaves = read_leaves(self._steps, last)
        state = fit(self._steps / str(last.step), leaves, abstract(leaves))
        self._saved = good or {last.step: last}
        if processes.is_first():
            check_space(self._steps, leaves, max(1, MOST_AT_ONCE - len(good)))
            with writing(self._steps):
                for step in damaged:
                    aside = self._steps / f"{step}.damaged"
                    remove_tree(aside)
                    (self._steps / str(step)).rename(aside)
                sync(self._steps)
            cut_logs(self._run, last.logs)
        return Restored(state, last.step, last.environment, tuple(damaged.values()))

    def save(self, step: int, state: Any, val_loss: float | None = None) -> None:
        """Start an asynchronous save. Do not donate `state` before the next call of this object.

        Waits for the previous save first. If that failed, after one retry, its error is raised here and nothing is
        saved; the next call saves again.

        Args:
            step: The step of the state. A checkpoint of the same step is replaced; its loss is kept if `val_loss` is
                None.
            state: Any pytree of arrays, typed random keys included.
            val_loss: Nats per token; None or not finite: not evaluated.

        Raises:
            SaveError: The previous save failed, or the run was moved, replaced or deleted.
        """
        self.wait()
        state = whole(state)
        if processes.is_first():
            self.check_in_place()
            if val_loss is None and step in self._saved:
                val_loss = self._saved[step].val_loss
            saved = SavedStep(step, val_loss, log_lengths(self._run), self._environment)
            self._pending = self._worker.submit(self._save, saved, state)
        else:
            self._saved = {step: SavedStep(step)}

    def check_in_place(self) -> None:
        """Check that the run's path still leads to the run that was opened; call this before appending to its logs.

        Raises:
            SaveError: The run was moved, replaced or deleted.
        """
        if self._lock is not None and not is_held(self._lock, self._run):
            with contextlib.suppress(SaveError):
                self.wait()  # a save in progress would add itself to `_saved` below
            self._saved = {}
            raise SaveError(f"{self._run}: was moved, replaced or deleted; nothing more is written to it")

    def wait(self) -> None:
        """Wait until the save in progress is on the disk.

        Raises:
            SaveError: The save failed.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _save(self, saved: SavedStep, state: Any) -> None:
        """Write a checkpoint and delete those no longer kept, in the worker thread."""
        leaves = to_leaves(state)
        try:
            saved = write(self._steps, saved, leaves)
        except SaveError:  # may be temporary: a full disk, an unreachable file server
            time.sleep(_RETRY_SECONDS)
            saved = write(self._steps, saved, leaves)
        self._saved[saved.step] = saved
        best = {self.best.step} if self.best else set()
        for step in self._saved.keys() - set(sorted(self._saved)[-_LAST:]) - best:
            if self._keep_every and step % self._keep_every == 0:
                continue
            del self._saved[step]
            gone = hidden(self._steps, step)
            with contextlib.suppress(OSError):  # rename first: a half-deleted checkpoint must not look valid
                (self._steps / str(step)).rename(gone)
            try_remove_tree(gone)
