"""The checkpoints of a run, open for writing: saved on a thread of their own, kept or deleted, and restored."""

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

_LAST = 2  # how many of the last checkpoints are kept
_RETRY_SECONDS = 1.0  # before a save that failed is tried a second time


class Restored(NamedTuple):
    """A restored state."""

    state: Any
    step: int
    environment: Mapping[str, str]  # what the state was reached on
    damaged: tuple[str, ...]  # what was found wrong with other checkpoints, which are set aside


class Checkpoints:
    """The checkpoints of a run, open for writing to one process alone.

    The last two are kept, so that one is good should the other be damaged, the best, and those of every `keep_every`
    steps; others are deleted. One worker thread writes them while training continues. Use it as a context manager:
    entering locks the run and deletes what a killed process left; leaving waits for the save in progress and releases
    the lock.

    Of several processes all have one, and call it alike. Process 0's is the one that is described here. The others give
    process 0 their parts of a state, and read the checkpoints that it names.

    Args:
        run: The run directory.
        environment: What the run trains on, recorded with each checkpoint.
        keep_every: Steps from one checkpoint that is kept for good to the next; 0 keeps none.

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
            if kind is None:  # else the error in the context matters more than that of a save
                self.wait()

    @property
    def last(self) -> SavedStep | None:
        """The last checkpoint on the disk."""
        return self._find("last")

    @property
    def best(self) -> SavedStep | None:
        """The checkpoint on the disk with the lowest validation loss; the last where none was evaluated."""
        return self._find("best")

    def _find(self, which: Literal["last", "best"]) -> SavedStep | None:
        saved = self._saved.copy()  # the worker changes it
        return choose([saved[step] for step in sorted(saved)], which) if saved else None

    def restore(self, abstract: Callable[[Leaves], Any]) -> Restored:
        """Load the last good state, and take the run back to it.

        The logs lose what was written after it. Checkpoints that are damaged are renamed to `N.damaged`.

        Args:
            abstract: From the arrays that were saved to a pytree of the structure of the state; only shapes and dtypes
                of its leaves are looked at.

        Raises:
            CheckpointError: No checkpoint is good, or the last one is not of this structure.
            SaveError: The run can't be written, or has no room for more checkpoints.
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
                raise CheckpointError(f"{problem}; no other checkpoint of this run is good")
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
        """Start to save a state, which must not be donated before the next call of this object.

        Waits first for the save before it. If that one failed, twice, its error is raised here and nothing is saved;
        the next call tries afresh.

        Args:
            step: The step the state was reached at. A checkpoint of the same step is replaced, and keeps its loss where
                `val_loss` is None.
            state: Any pytree of arrays, typed random keys included.
            val_loss: Nats per token; None, or not finite: not evaluated.

        Raises:
            SaveError: The save before could not be written, or the run was moved, replaced or deleted.
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
        """Refuse to write to a run that is not the one that was opened; to be called before its logs are appended to.

        Raises:
            SaveError: The run was moved, replaced or deleted meanwhile.
        """
        if self._lock is not None and not is_held(self._lock, self._run):
            with contextlib.suppress(SaveError):
                self.wait()  # for a save that would count as one of this run
            self._saved = {}
            raise SaveError(f"{self._run}: was moved, replaced or deleted; nothing more is written to it")

    def wait(self) -> None:
        """Return when what was saved is on the disk.

        Raises:
            SaveError: It could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _save(self, saved: SavedStep, state: Any) -> None:
        """Write a checkpoint and delete others, in the worker thread."""
        leaves = to_leaves(state)
        try:
            saved = write(self._steps, saved, leaves)
        except SaveError:  # a disk that was full for a moment, a file server that was away
            time.sleep(_RETRY_SECONDS)
            saved = write(self._steps, saved, leaves)
        self._saved[saved.step] = saved
        best = {self.best.step} if self.best else set()
        for step in self._saved.keys() - set(sorted(self._saved)[-_LAST:]) - best:
            if self._keep_every and step % self._keep_every == 0:
                continue
            del self._saved[step]
            gone = hidden(self._steps, step)
            with contextlib.suppress(OSError):  # half of a checkpoint must never look like one
                (self._steps / str(step)).rename(gone)
            try_remove_tree(gone)
