"""Checkpoints when things go wrong (a full disk, damage, `kill -9`): the good one loads, or one line says why not."""

import math
import multiprocessing
import os
import random
import resource
import runpy
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.runs import checkpoint, saving
from jaxrnn.runs.checkpoint import load_state, save_new
from jaxrnn.runs.manifest import read_manifest, write_manifest
from jaxrnn.runs.saved_steps import SavedStep, Which, find_step
from jaxrnn.runs.saving import Checkpoints

Limit = Callable[[int | None], None]


def state_at(step: int) -> dict[str, Any]:
    return {"step": np.array(step), "params": np.full((64, 64), step, np.float32)}


def step_read(run: Path, which: Which = "last") -> int:
    """Loads a state, sees that it is whole, and returns its step."""
    state = load_state(run, state_at(0), which)
    np.testing.assert_array_equal(state["params"], np.full((64, 64), state["step"], np.float32))
    return int(state["step"])


def loss_at(step: int) -> float:
    return math.sin(step * 1.7) + 2


def entries(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "steps").iterdir())


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that failed is tried again at once."""
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 0.0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the checkpoint of step 0."""
    (tmp_path / "run" / "steps").mkdir(parents=True)
    save_new(tmp_path / "run" / "steps", state_at(0))
    return tmp_path / "run"


# When the disk says no.


@pytest.fixture
def file_size_limit() -> Iterator[Limit]:
    """A function that limits how large a file this process may write; None lifts it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_save_that_fails_says_why_in_one_line_and_the_next_one_works(
    run: Path, file_size_limit: Limit, capfd: pytest.CaptureFixture[str]
) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1), 1.0)
        checkpoints.wait()
        file_size_limit(100)
        checkpoints.save(2, state_at(2), 0.5)
        with pytest.raises(SaveError, match=r"steps/2: .*File too large") as error:
            checkpoints.wait()
        one_line(error)
        assert entries(run) == ["0", "1"]  # the good ones are there, and no rest of the other
        file_size_limit(None)
        checkpoints.save(3, state_at(3), 0.7)
    assert entries(run) == ["1", "3"]
    assert capfd.readouterr() == ("", "")


def test_the_error_of_a_save_surfaces_at_the_next_one(run: Path, file_size_limit: Limit) -> None:
    with Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, state_at(1))
        with pytest.raises(SaveError, match="steps/1"):
            checkpoints.save(2, state_at(2))


def test_the_error_of_the_last_save_surfaces_when_the_checkpoints_are_closed(
    run: Path, file_size_limit: Limit
) -> None:
    with pytest.raises(SaveError, match="steps/1"), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, state_at(1))


def test_an_error_in_training_is_not_hidden_by_one_of_saving(run: Path, file_size_limit: Limit) -> None:
    with pytest.raises(ZeroDivisionError), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, state_at(1))
        raise ZeroDivisionError


def test_a_full_disk_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"), Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("RESOURCE_EXHAUSTED: Error writing x: [OS error 28: ENOSPC No space left on device]"),
        ValueError("RESOURCE_EXHAUSTED: Error writing x"),
        ValueError(
            "UNKNOWN: Error writing x: No space left on device [tensorstore_spec='{}'] [os_error_code='28']"
        ),
    ],
)
def test_a_disk_that_fills_while_orbax_writes_is_named_too(error: Exception) -> None:
    assert checkpoint._reason(error) == "No space left on device"


def test_a_run_that_was_deleted_while_it_trained_ends_in_one_line(run: Path) -> None:
    with pytest.raises(SaveError, match="No such file or directory"), Checkpoints(run) as checkpoints:
        shutil.rmtree(run)
        checkpoints.save(1, state_at(1))


def test_a_save_that_fails_once_is_tried_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_once(*_: Any) -> None:
        monkeypatch.setattr(saving, "write", checkpoint.write)
        raise SaveError("steps/1: No space left on device")

    monkeypatch.setattr(saving, "write", full_once)
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))
    assert step_read(run) == 1


def test_a_disk_without_room_for_the_checkpoints_to_come_is_told_before_training(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(leaf.nbytes for leaf in state_at(0).values())
    usage = shutil.disk_usage(run)
    for free, fits in ((4 * size, True), (4 * size - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        (run / f"new{fits}").mkdir()
        if fits:
            save_new(run / f"new{fits}", state_at(0))
            continue
        with pytest.raises(SaveError, match=r"No space left on device: about 0\.1 MB are needed"):
            save_new(run / f"new{fits}", state_at(0))
        assert not list((run / f"new{fits}").iterdir())


# Damage.


def files_of(run: Path) -> list[Path]:
    return sorted(path for path in (run / "steps").rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "one bit", "garbage"])
def test_damage_to_any_file_is_found_and_named(
    run: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(damage)
    for path in files_of(run):
        good = path.read_bytes()
        if damage != "missing" and not good:
            continue  # nothing to damage
        if damage == "one bit":
            bit = generator.randrange(8 * len(good))
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << bit % 8
            bad = bytes(flipped)
        else:
            bad = {"truncated": good[: len(good) // 2], "garbage": generator.randbytes(len(good))}.get(
                damage, b""
            )
        path.write_bytes(bad)
        if damage == "missing":
            path.unlink()
        with pytest.raises(CheckpointError) as error:
            load_state(run, state_at(0))
        assert str(path) in one_line(error)
        path.write_bytes(good)
    assert step_read(run) == 0
    assert capfd.readouterr() == ("", "")


def test_arrays_that_orbax_reads_differently_are_found(run: Path) -> None:
    # Files whose hashes are right, but leaves that are not what was handed to orbax.
    manifest = read_manifest(run / "steps", 0)
    other = manifest.leaves["params"]._replace(sha256=manifest.leaves["step"].sha256)
    write_manifest(run / "steps" / "0", manifest._replace(leaves={**manifest.leaves, "params": other}))
    with pytest.raises(CheckpointError, match="checksum of params does not match"):
        load_state(run, state_at(0))


def test_a_first_checkpoint_that_does_not_read_back_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "hash_files", lambda _: {"state/lost": "0"})
    with pytest.raises(SaveError, match="a moment ago"):
        save_new(tmp_path, state_at(0))


# What others leave, and what others do meanwhile.


def test_opening_for_writing_cleans_up_what_a_killed_process_left(run: Path) -> None:
    steps = run / "steps"
    shutil.copytree(steps / "0", steps / ".5.new")
    shutil.copytree(steps / "0", steps / ".0.old")
    (steps / ".3.gone").mkdir()
    (steps / ".mine").mkdir()
    (steps / "notes").mkdir()
    with Checkpoints(run) as checkpoints:
        assert checkpoints.last == SavedStep(0, None)
    assert entries(run) == [".mine", "0", "notes"]


def test_a_checkpoint_moved_aside_by_a_killed_process_is_brought_back(run: Path) -> None:
    (run / "steps" / "0").rename(run / "steps" / ".0.old")
    with Checkpoints(run):
        assert entries(run) == ["0"]
    assert step_read(run) == 0


def test_nothing_is_deleted_through_a_symbolic_link(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run / "steps" / ".1.new").symlink_to(outside)
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))
    assert (outside / "precious").exists()
    assert entries(run) == ["0", "1"]


def test_a_folder_of_checkpoints_behind_a_symbolic_link_is_not_written(run: Path, tmp_path: Path) -> None:
    (run / "steps").rename(tmp_path / "elsewhere")
    (run / "steps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"):
        Checkpoints(run)
    assert step_read(run) == 0  # but it is read


def test_a_reader_gets_the_newer_checkpoint_when_its_own_vanishes(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = checkpoint._load

    def load_slowly(steps: Path, step: int, parts: Any, abstract: Any) -> Any:
        if step == 0:
            with Checkpoints(run) as checkpoints:
                checkpoints.save(1, state_at(1))
                checkpoints.save(2, state_at(2))
        return load(steps, step, parts, abstract)

    monkeypatch.setattr(checkpoint, "_load", load_slowly)
    assert step_read(run) == 2


# kill -9.


def save_for_ever(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        assert checkpoints.last
        step = checkpoints.last.step
        while True:
            step += 1
            checkpoints.save(step, state_at(step), loss_at(step))


def test_killed_at_any_moment_the_last_and_the_best_load(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "steps").mkdir(parents=True)
    save_new(run / "steps", state_at(0))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["jaxrnn.runs.checkpoint", "orbax.checkpoint.v1"])
    generator = random.Random(0)
    last = 0
    for _ in range(8):
        process = processes.Process(target=runpy.run_path, args=(__file__, {"RUN": run}, "saving"))
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
        assert step_read(run, "best") == min(range(1, last + 1), key=loss_at)


if __name__ == "saving":  # the process that is killed above
    save_for_ever(globals()["RUN"])
