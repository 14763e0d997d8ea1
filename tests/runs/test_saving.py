"""Going back: to the last checkpoint that is whole, with the logs as they were then."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import CheckpointError, LockedError
from jaxrnn.runs.checkpoint import load_state, save_new
from jaxrnn.runs.saved_steps import SavedStep
from jaxrnn.runs.saving import Checkpoints


def state_at(step: int) -> dict[str, Any]:
    return {"step": np.array(step), "params": np.full((64, 64), step, np.float32)}


def entries(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "steps").iterdir())


def files_of(run: Path) -> list[Path]:
    return sorted(path for path in (run / "steps").rglob("*") if path.is_file())


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.fixture
def long_run(tmp_path: Path) -> Path:
    """A run with the checkpoints of steps 1, the best, and 3 and 4, and a line in its metrics for each step."""
    run = tmp_path / "run"
    (run / "steps").mkdir(parents=True)
    save_new(run / "steps", state_at(0))
    with Checkpoints(run, {"jax": "1"}) as checkpoints:
        for step, loss in ((1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)):
            with (run / "metrics.csv").open("a") as file:
                file.write(f"{step},row\n")
            checkpoints.save(step, state_at(step), loss)
    with (run / "metrics.csv").open("a") as file:
        file.write("5,row\n6,torn")
    return run


def test_a_run_goes_back_to_its_last_checkpoint_and_so_do_its_logs(long_run: Path) -> None:
    with Checkpoints(long_run) as checkpoints:
        restored = checkpoints.restore(state_at(0))
    assert (restored.step, restored.environment, restored.damaged) == (4, {"jax": "1"}, ())
    assert int(restored.state["step"]) == 4
    assert (long_run / "metrics.csv").read_text() == "1,row\n2,row\n3,row\n4,row\n"


def test_each_file_of_the_last_checkpoint_damaged_the_one_before_it_is_gone_on_from(long_run: Path) -> None:
    pristine = long_run.with_name("pristine")
    shutil.copytree(long_run, pristine)
    files = [
        path.relative_to(pristine)
        for path in files_of(pristine)
        if path.is_relative_to(pristine / "steps" / "4")
    ]
    assert len(files) > 3
    for name in files:
        for harm in (Path.unlink, lambda path: path.write_bytes(b""), damage):
            shutil.rmtree(long_run)
            shutil.copytree(pristine, long_run)
            if not (long_run / name).read_bytes() and harm is not Path.unlink:
                continue
            harm(long_run / name)
            with Checkpoints(long_run) as checkpoints:
                restored = checkpoints.restore(state_at(0))
                assert checkpoints.last == SavedStep(3, 2.0)
            assert restored.step == 3
            assert str(name) in restored.damaged[0]
            assert (long_run / "metrics.csv").read_text() == "1,row\n2,row\n3,row\n"
            assert entries(long_run) == ["1", "3", "4.damaged"]
            assert int(load_state(long_run, state_at(0))["step"]) == 3


def test_a_damaged_best_checkpoint_is_set_aside_too(long_run: Path) -> None:
    damage(long_run / "steps" / "1" / "checkpoint.json")
    with Checkpoints(long_run) as checkpoints:
        assert checkpoints.restore(state_at(0)).step == 4
        assert checkpoints.best == SavedStep(3, 2.0)


def test_with_no_checkpoint_whole_nothing_is_touched(long_run: Path) -> None:
    for step in (1, 3, 4):
        (long_run / "steps" / str(step) / "checkpoint.json").unlink()
    with (
        Checkpoints(long_run) as checkpoints,
        pytest.raises(CheckpointError, match=r"steps/4.*no other checkpoint"),
    ):
        checkpoints.restore(state_at(0))
    assert entries(long_run) == ["1", "3", "4"]


def test_a_state_of_another_model_is_refused_and_not_taken_for_damage(long_run: Path) -> None:
    other = {**state_at(0), "params": np.zeros((2, 2), np.float32)}
    with Checkpoints(long_run) as checkpoints, pytest.raises(CheckpointError, match="does not fit: params"):
        checkpoints.restore(other)
    assert entries(long_run) == ["1", "3", "4"]


def test_a_run_that_could_not_be_opened_is_not_left_locked(long_run: Path) -> None:
    (long_run / "steps").rename(long_run / "elsewhere")
    with pytest.raises(CheckpointError):
        Checkpoints(long_run)
    (long_run / "elsewhere").rename(long_run / "steps")
    with Checkpoints(long_run), pytest.raises(LockedError):
        Checkpoints(long_run)
    with Checkpoints(long_run) as checkpoints:
        assert checkpoints.last == SavedStep(4, 2.0)
