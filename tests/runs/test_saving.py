"""The checkpoints of a run: asynchronous saves, retention, and restoring with the logs."""

import math
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import CheckpointError, LockedError, SaveError
from jaxrnn.runs import checkpoint, saving
from jaxrnn.runs.directory import METRICS_COLUMNS, append_metrics
from jaxrnn.runs.saved_steps import find_step, list_steps
from jaxrnn.runs.saving import Checkpoints

from .conftest import files_of, flip, known, load_state, names, state_at, step_read


def save(run: Path, *steps: tuple[int, float | None]) -> None:
    with Checkpoints(run, {"jax": "1"}) as checkpoints:
        for step, loss in steps:
            checkpoints.save(step, state_at(step), loss)


# Retention.


def test_the_last_two_and_the_best_are_kept(run: Path) -> None:
    losses = {1: 3.0, 2: 2.0, 3: 2.5, 4: None, 5: 2.2, 6: None}
    kept = []
    with Checkpoints(run) as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, state_at(step), loss)
            checkpoints.wait()
            kept.append(names(run / "steps"))
        assert (known(checkpoints.last), known(checkpoints.best)) == ((6, None), (2, 2.0))
    assert kept == [["0", "1"], ["1", "2"], ["2", "3"], ["2", "3", "4"], ["2", "4", "5"], ["2", "5", "6"]]
    assert [known(saved) for saved in list_steps(run)] == [(2, 2.0), (5, 2.2), (6, None)]
    assert (step_read(run, "last"), step_read(run, "best"), step_read(run, 5)) == (6, 2, 5)


def test_keep_every_keeps_additional_steps(run: Path) -> None:
    with Checkpoints(run, keep_every=3) as checkpoints:
        for step in range(1, 9):
            checkpoints.save(step, state_at(step), 1.0 + step)
    assert names(run / "steps") == ["0", "1", "3", "6", "7", "8"]  # 1 is the best


def test_the_best_is_the_last_without_an_evaluation(run: Path) -> None:
    save(run, (1, None), (2, None))
    assert names(run / "steps") == ["1", "2"]
    assert known(find_step(run, "best")) == (2, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_ignored(run: Path, loss: float) -> None:
    save(run, (1, 4.0), (2, loss))
    assert known(find_step(run, "best")) == (1, 4.0)
    assert known(find_step(run, "last")) == (2, None)


def test_the_best_is_found_again_after_a_restart(run: Path) -> None:
    save(run, (1, 1.0), (2, 2.0))
    with Checkpoints(run) as checkpoints:
        assert known(checkpoints.best) == (1, 1.0)
    save(run, (3, 1.5), (4, 1.6))
    assert names(run / "steps") == ["1", "3", "4"]


# Saving a step.


def test_save_returns_before_the_checkpoint_is_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = threading.Event()
    monkeypatch.setattr(saving, "write", lambda *args: disk.wait(60) and checkpoint.write(*args))
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state_at(1))
        assert names(run / "steps") == ["0"]
        disk.set()
        checkpoints.wait()
        assert names(run / "steps") == ["0", "1"]


def test_a_step_saved_again_is_replaced_and_its_loss_kept_or_updated(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        for loss, expected in ((None, None), (2.0, 2.0), (None, 2.0)):
            other = {**state_at(1), "params": np.full((64, 64), loss or 0, np.float32)}
            checkpoints.save(1, other, loss)
            checkpoints.wait()
            assert known(find_step(run)) == (1, expected)
            np.testing.assert_array_equal(load_state(run, state_at(0))["params"], other["params"])
            assert names(run / "steps") == ["0", "1"]


def test_saving_does_not_change_signal_handlers(run: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    save(run, (1, None))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def move(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def replace(run: Path) -> None:
    shutil.copytree(run, run.with_name("copy"))
    move(run)
    run.with_name("copy").rename(run)


@pytest.mark.parametrize("harm", [move, replace, shutil.rmtree])
def test_a_moved_replaced_or_deleted_run_is_not_written(run: Path, harm: Any) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.check_in_place()
        harm(run)
        before = sorted(run.parent.rglob("*"))
        with pytest.raises(SaveError, match="run: was moved, replaced or deleted"):
            checkpoints.check_in_place()
        with pytest.raises(SaveError, match="run: was moved, replaced or deleted"):
            checkpoints.save(1, state_at(1))
        assert checkpoints.last is None
    assert sorted(run.parent.rglob("*")) == before


# Restoring.


@pytest.fixture
def long_run(run: Path) -> Path:
    """A run with checkpoints of steps 1 (the best), 3 and 4, and a row of metrics for each step."""
    (run / "metrics.csv").write_text(",".join(METRICS_COLUMNS) + "\n")
    with Checkpoints(run, {"jax": "1"}) as checkpoints:
        for step, loss in ((1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)):
            append_metrics(run, {"step": step})
            checkpoints.save(step, state_at(step), loss)
    append_metrics(run, {"step": 5})
    with (run / "metrics.csv").open("a") as file:
        file.write("6,torn")
    return run


def rows(run: Path) -> list[str]:
    return [line.partition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()[1:]]


def test_state_and_logs_are_restored_from_the_last_checkpoint(long_run: Path) -> None:
    with Checkpoints(long_run) as checkpoints:
        restored = checkpoints.restore(lambda _: state_at(0))
    assert (restored.step, restored.environment, restored.damaged) == (4, {"jax": "1"}, ())
    assert int(restored.state["step"]) == 4
    assert rows(long_run) == ["1", "2", "3", "4"]


def test_if_any_file_of_the_last_checkpoint_is_corrupt_the_previous_one_is_restored(long_run: Path) -> None:
    pristine = long_run.with_name("pristine")
    shutil.copytree(long_run, pristine)
    found = [path.relative_to(pristine) for path in files_of(pristine / "steps" / "4")]
    assert len(found) > 3
    for name in found:
        for harm in (Path.unlink, lambda path: path.write_bytes(b""), lambda path: flip(path, 99)):
            shutil.rmtree(long_run)
            shutil.copytree(pristine, long_run)
            if not (long_run / name).read_bytes() and harm is not Path.unlink:
                continue
            harm(long_run / name)
            with Checkpoints(long_run) as checkpoints:
                restored = checkpoints.restore(lambda _: state_at(0))
                assert known(checkpoints.last) == (3, 2.0)
            assert restored.step == 3
            assert str(name) in restored.damaged[0]
            assert rows(long_run) == ["1", "2", "3"]
            assert names(long_run / "steps") == ["1", "3", "4.damaged"]
            assert step_read(long_run) == 3


@pytest.mark.parametrize("kind", ["checkpoint.json", "arrays/*/d/*"])
def test_a_corrupt_best_checkpoint_is_set_aside_too(long_run: Path, kind: str) -> None:
    flip(next((long_run / "steps" / "1").glob(kind)), 99)
    with Checkpoints(long_run) as checkpoints:
        assert checkpoints.restore(lambda _: state_at(0)).step == 4
        assert known(checkpoints.best) == (3, 2.0)
    assert names(long_run / "steps") == ["1.damaged", "3", "4"]


def test_without_an_intact_checkpoint_nothing_is_changed(long_run: Path) -> None:
    for file in files_of(long_run / "steps"):
        if "arrays" in file.parts:
            file.unlink()
    with (
        Checkpoints(long_run) as checkpoints,
        pytest.raises(CheckpointError, match=r"steps/4.*no other checkpoint"),
    ):
        checkpoints.restore(lambda _: state_at(0))
    assert names(long_run / "steps") == ["1", "3", "4"]


def test_a_state_of_another_model_is_refused_and_not_treated_as_corrupt(long_run: Path) -> None:
    other = {**state_at(0), "params": np.zeros((2, 2), np.float32)}
    with (
        Checkpoints(long_run) as checkpoints,
        pytest.raises(CheckpointError, match="4: does not fit: params"),
    ):
        checkpoints.restore(lambda _: other)
    assert names(long_run / "steps") == ["1", "3", "4"]


# Opening.


def test_a_run_that_could_not_be_opened_is_not_left_locked(long_run: Path) -> None:
    (long_run / "steps").rename(long_run / "elsewhere")
    with pytest.raises(CheckpointError), Checkpoints(long_run):
        pass
    (long_run / "elsewhere").rename(long_run / "steps")
    with Checkpoints(long_run), pytest.raises(LockedError), Checkpoints(long_run):
        pass
    with Checkpoints(long_run) as checkpoints:
        assert known(checkpoints.last) == (4, 2.0)


def test_opening_for_writing_deletes_leftovers_of_a_killed_process(run: Path) -> None:
    steps = run / "steps"
    shutil.copytree(steps / "0", steps / ".5.tmp")
    for name in (".3.tmp", ".mine", "notes", "7.tmp"):
        (steps / name).mkdir()
    with Checkpoints(run) as checkpoints:
        assert known(checkpoints.last) == (0, None)
    assert names(steps) == [".mine", "0", "7.tmp", "notes"]


def test_nothing_is_deleted_through_a_symbolic_link(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run / "steps" / ".1.tmp").symlink_to(outside)
    save(run, (1, None))
    assert (outside / "precious").exists()
    assert names(run / "steps") == ["0", "1"]


def test_a_folder_of_checkpoints_behind_a_symbolic_link_is_not_written(run: Path, tmp_path: Path) -> None:
    (run / "steps").rename(tmp_path / "elsewhere")
    (run / "steps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"), Checkpoints(run):
        pass
    assert step_read(run) == 0  # but it can be read
