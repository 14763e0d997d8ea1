"""The saved steps of a run: all of them, the last and the best."""

from pathlib import Path

import pytest

from jaxrnn.errors import CheckpointError
from jaxrnn.runs.manifest import describe, write_manifest
from jaxrnn.runs.saved_steps import SavedStep, find_step, list_steps, step_numbers


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "steps").mkdir()
    return tmp_path


def save(run: Path, step: int, val_loss: float | None) -> None:
    folder = run / "steps" / str(step)
    folder.mkdir()
    write_manifest(folder, describe(step, val_loss, {}))


def test_steps_are_listed_by_number_with_their_loss(run: Path) -> None:
    for step, loss in [(9, 2.0), (10, None), (0, 3.0)]:
        save(run, step, loss)
    assert list_steps(run) == [SavedStep(0, 3.0), SavedStep(9, 2.0), SavedStep(10, None)]


def test_the_last_is_the_highest_and_the_best_has_the_lowest_loss(run: Path) -> None:
    for step, loss in [(9, 2.0), (10, None), (11, 2.5), (0, 3.0)]:
        save(run, step, loss)
    assert find_step(run, "last") == SavedStep(11, 2.5)
    assert find_step(run, "best") == SavedStep(9, 2.0)


def test_the_best_is_the_last_where_nothing_was_evaluated(run: Path) -> None:
    save(run, 1, None)
    save(run, 2, None)
    assert find_step(run, "best") == SavedStep(2, None)


def test_of_equals_the_first_is_the_best(run: Path) -> None:
    for step in (1, 2, 3):
        save(run, step, 2.0)
    assert find_step(run, "best").step == 1


def test_only_folders_named_like_a_step_count(run: Path) -> None:
    save(run, 5, None)
    for name in (".6.new", "07", "-8", "9a", "notes", "٣"):
        (run / "steps" / name).mkdir()
    assert step_numbers(run / "steps") == [5]


def test_a_damaged_step_is_an_error(run: Path) -> None:
    save(run, 1, None)
    (run / "steps" / "2").mkdir()
    with pytest.raises(CheckpointError, match="steps/2"):
        list_steps(run)


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_without_checkpoints_says_so(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "steps").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint") as error:
        list_steps(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'steps'}: ")
    assert "\n" not in str(error.value)
