"""Checkpoints and failures (full disk, corrupt files, `kill -9`): an intact one loads, or one line reports why not."""

import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxrnn import disk
from jaxrnn.errors import CheckpointError, DamagedError, SaveError
from jaxrnn.runs import checkpoint, saving
from jaxrnn.runs.checkpoint import load_leaves, read_leaves, save_new
from jaxrnn.runs.saved_steps import SavedStep, find_step
from jaxrnn.runs.saving import Checkpoints

from .conftest import files_of, flip, names, one_line, state_at, step_read

Limit = Callable[[int | None], None]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry a failed save without waiting."""
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 0.0)


# Disk errors.


@pytest.fixture
def file_size_limit() -> Iterator[Limit]:
    """A function that limits the size of files that this process writes; None removes the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_failed_save_is_one_line_and_the_next_one_works(
    run: Path, file_size_limit: Limit, capfd: pytest.CaptureFixture[str]
) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1), 1.0)
        checkpoints.wait()
        file_size_limit(100)
        checkpoints.save(2, state_at(2), 0.5)
        with pytest.raises(SaveError, match=r"steps/2: can't be written: File too large") as error:
            checkpoints.wait()
        one_line(error)
        assert names(run / "steps") == ["0", "1"]  # the intact ones, and no leftover of the failed one
        file_size_limit(None)
        checkpoints.save(3, state_at(3), 0.7)
    assert names(run / "steps") == ["1", "3"]
    assert capfd.readouterr() == ("", "")


def test_the_error_of_a_save_is_raised_at_the_next_save_or_the_end(run: Path, file_size_limit: Limit) -> None:
    with pytest.raises(SaveError, match="steps/2"), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, state_at(1))
        with pytest.raises(SaveError, match="steps/1"):
            checkpoints.save(2, state_at(2))
        checkpoints.save(2, state_at(2))


def test_an_error_in_training_is_not_hidden_by_an_error_of_saving(run: Path, file_size_limit: Limit) -> None:
    with pytest.raises(ZeroDivisionError), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, state_at(1))
        raise ZeroDivisionError


def test_a_full_disk_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(disk, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"), Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))


def test_a_save_that_fails_once_is_retried(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_once(*_: Any) -> None:
        monkeypatch.setattr(saving, "write", checkpoint.write)
        raise SaveError("steps/1: No space left on device")

    monkeypatch.setattr(saving, "write", full_once)
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))
    assert step_read(run) == 1


def test_a_disk_too_small_for_checkpoints_is_refused_before_training(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(leaf.nbytes for leaf in state_at(0).values())
    usage = shutil.disk_usage(run)
    for free, fits in ((4 * size, True), (4 * size - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        (run / f"new{fits}").mkdir()
        if fits:
            save_new(run / f"new{fits}", state_at(0), SavedStep(0))
            continue
        with pytest.raises(SaveError, match=r"No space left on device: about 0\.1 MB are needed"):
            save_new(run / f"new{fits}", state_at(0), SavedStep(0))
        assert not names(run / f"new{fits}")


def test_a_path_that_orbax_misreads_is_refused(run: Path) -> None:
    for name in ("back\\slash", os.fsdecode(b"latin-\xe9")):
        moved = run.rename(run.with_name(name))
        with pytest.raises(
            CheckpointError,
            match=r"(latin|back).*a backslash, .* or a byte that is not UTF-8; rename the folder",
        ) as error:
            step_read(moved)
        assert not isinstance(error.value, DamagedError)
        one_line(error)
        moved.rename(run)
    assert step_read(run) == 0


@pytest.mark.parametrize("name", ["[a]", "a*", "wh?t"])
def test_a_path_with_glob_characters_is_read_and_never_written(run: Path, name: str) -> None:
    moved = run.rename(run.with_name(name))
    assert step_read(moved) == 0
    with pytest.raises(CheckpointError, match="rename the folder"), Checkpoints(moved):
        pass


# Corrupt files.


def truncate(path: Path, _: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_garbage(path: Path, generator: random.Random) -> None:
    path.write_bytes(generator.randbytes(path.stat().st_size))


def replace_by_a_link(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, _: path.unlink(),
        lambda path, _: path.write_bytes(b""),
        *[lambda path, generator: flip(path, generator.randrange(8 * path.stat().st_size))] * 10,
        truncate,
        fill_with_garbage,
        replace_by_a_link,
    ],
)
def test_corruption_of_any_file_is_detected_and_named(
    run: Path, damage: Callable[[Path, random.Random], None], capfd: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(str(run))
    for path in files_of(run / "steps"):
        good = path.read_bytes()
        if not good and damage is not replace_by_a_link:
            continue  # nothing to corrupt
        damage(path, generator)
        with pytest.raises(DamagedError) as error:
            load_leaves(run, "last")
        assert str(path) in one_line(error)
        path.unlink(missing_ok=True)
        path.write_bytes(good)
    assert step_read(run) == 0
    assert capfd.readouterr() == ("", "")


def test_a_corrupt_checkpoint_is_named_with_the_last_intact_one(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state_at(step), float(step))
    data = {step: next((run / "steps" / str(step) / "arrays").glob("*/d/*")) for step in (1, 2, 3)}
    for step, advice in (
        (1, "step 3 is intact: --checkpoint 3 uses it"),
        (3, "step 2 is intact: --checkpoint 2 uses it"),
        (2, "no other checkpoint of this run is intact"),
    ):
        flip(data[step], 0)
        with pytest.raises(DamagedError, match=rf"steps/1.*; {advice}"):
            step_read(run, "best")


def test_an_unreadable_first_checkpoint_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter("12")
    monkeypatch.setattr(checkpoint, "_hash_files", lambda _: {"lost": next(hashes)})
    with pytest.raises(SaveError, match="a moment ago"):
        save_new(tmp_path, state_at(0), SavedStep(0))
    monkeypatch.undo()
    monkeypatch.setattr(checkpoint, "read_leaves", lambda *_: state_at(1))
    with pytest.raises(SaveError, match="other arrays"):
        save_new(tmp_path, state_at(0), SavedStep(0))


def test_a_reader_gets_the_newer_checkpoint_if_its_own_is_deleted(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_slowly(steps: Path, saved: SavedStep) -> Any:
        if saved.step == 0:
            with Checkpoints(run) as checkpoints:
                checkpoints.save(1, state_at(1))
                checkpoints.save(2, state_at(2))
        return read_leaves(steps, saved)

    monkeypatch.setattr(checkpoint, "read_leaves", read_slowly)
    assert step_read(run) == 2


# kill -9.


SAVE_FOR_EVER = """
import math
import numpy as np
from jaxrnn.runs.saving import Checkpoints
with Checkpoints(RUN) as checkpoints:
    step = checkpoints.last.step
    while True:
        step += 1
        state = {"step": np.array(step), "params": np.full((64, 64), step, np.float32)}
        checkpoints.save(step, state, math.sin(step * 1.7) + 2)
"""


def test_killed_at_any_moment_the_last_and_the_best_load(run: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["jaxrnn.runs.checkpoint", "orbax.checkpoint"])
    generator = random.Random(0)
    last = 0
    for _ in range(8):
        process = processes.Process(target=exec, args=(SAVE_FOR_EVER, {"RUN": run}))
        process.start()
        before = time.monotonic() + 60
        while find_step(run, "last").step == last and time.monotonic() < before:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.2)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert step_read(run, "last") > last
        last = step_read(run, "last")
        assert step_read(run, "best") == min(range(1, last + 1), key=lambda step: math.sin(step * 1.7))
