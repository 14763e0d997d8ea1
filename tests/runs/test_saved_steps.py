"""The saved steps of a run and their manifests; a corrupt one is named in one line."""

import json
from pathlib import Path

import pytest

from jaxrnn.errors import CheckpointError, DamagedError
from jaxrnn.runs.saved_steps import (
    SavedStep,
    find_step,
    list_steps,
    read_manifest,
    step_numbers,
    write_manifest,
)

from .conftest import known, one_line

SAVED = SavedStep(3, 1.5, {"metrics.csv": 7}, {"jax": "1"}, {"arrays/é": "0" * 64})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "steps").mkdir()
    return tmp_path


def save(run: Path, *steps: tuple[int, float | None]) -> None:
    for step, loss in steps:
        (run / "steps" / str(step)).mkdir()
        write_manifest(run / "steps" / str(step), SavedStep(step, loss))


# Finding a step.


def test_steps_are_listed_by_number(run: Path) -> None:
    save(run, (9, 2.0), (10, None), (0, 3.0))
    assert [known(saved) for saved in list_steps(run)] == [(0, 3.0), (9, 2.0), (10, None)]


def test_the_last_is_the_highest_and_the_best_has_the_lowest_loss(run: Path) -> None:
    save(run, (9, 2.0), (10, None), (11, 2.5), (0, 3.0))
    assert known(find_step(run, "last")) == (11, 2.5)
    assert known(find_step(run, "best")) == (9, 2.0)


def test_a_missing_step_is_refused_with_the_available_ones(run: Path) -> None:
    save(run, (9, 2.0), (10, None))
    assert known(find_step(run, 10)) == (10, None)
    with pytest.raises(CheckpointError, match="step 11: no such checkpoint; steps saved: 9, 10") as error:
        find_step(run, 11)
    one_line(error)


def test_the_best_is_the_last_without_an_evaluation(run: Path) -> None:
    save(run, (1, None), (2, None))
    assert known(find_step(run, "best")) == (2, None)


def test_the_first_of_equal_losses_is_the_best(run: Path) -> None:
    save(run, (1, 2.0), (2, 2.0), (3, 2.0))
    assert find_step(run, "best").step == 1


def test_only_folders_named_like_a_step_count(run: Path) -> None:
    save(run, (5, None))
    for name in (".6.tmp", "07", "-8", "9a", "9.damaged", "notes", "٣"):
        (run / "steps" / name).mkdir()
    assert step_numbers(run / "steps") == [5]


def test_a_corrupt_manifest_does_not_affect_other_steps(run: Path) -> None:
    save(run, (1, 1.0), (2, 2.0), (3, 3.0))
    (run / "steps" / "2" / "checkpoint.json").write_text("{}")
    assert [find_step(run, which).step for which in ("best", "last", 1)] == [1, 3, 1]  # type: ignore[arg-type]
    with pytest.raises(DamagedError, match="steps/2"):
        find_step(run, 2)
    for step in (1, 3):
        (run / "steps" / str(step) / "checkpoint.json").unlink()
    with pytest.raises(DamagedError, match="steps/3"):
        list_steps(run)


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_without_checkpoints_is_an_error(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "steps").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint") as error:
        list_steps(tmp_path)
    assert one_line(error).startswith(f"{tmp_path / 'steps'}: ")


# The manifest.


@pytest.fixture
def path(run: Path) -> Path:
    (run / "steps" / "3").mkdir()
    write_manifest(run / "steps" / "3", SAVED)
    return run / "steps" / "3" / "checkpoint.json"


def test_a_manifest_survives_a_round_trip(run: Path, path: Path) -> None:
    assert path.exists()
    assert read_manifest(run / "steps", 3) == SAVED


def test_every_flipped_bit_is_detected(run: Path, path: Path) -> None:
    good = path.read_bytes()
    content = json.loads(good)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            same = json.loads(bytes(bad)) == content
        except ValueError:
            same = False
        if same:
            continue  # white space or the letter case of an escape, which mean the same
        path.write_bytes(bad)
        with pytest.raises(DamagedError) as error:
            read_manifest(run / "steps", 3)
        assert one_line(error).startswith(str(path))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", "{}", '{"sha256": "1"}', "[" * 100_000, "\xff", None]
)
def test_an_invalid_manifest_is_refused(run: Path, path: Path, text: str | None) -> None:
    path.unlink()
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedError, match="corrupt") as error:
        read_manifest(run / "steps", 3)
    assert one_line(error).startswith(str(path))


def test_a_manifest_of_another_step_is_refused(run: Path, path: Path) -> None:
    path.parent.rename(run / "steps" / "4")
    with pytest.raises(DamagedError, match="does not match"):
        read_manifest(run / "steps", 4)


@pytest.mark.parametrize("version", [1, 3])
def test_a_manifest_of_another_format_version_is_refused(
    run: Path, path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxrnn.runs.saved_steps.FORMAT_VERSION", version)
    write_manifest(path.parent, SAVED)
    with pytest.raises(
        CheckpointError, match=f"format version {version}, but jaxrnn .* reads only version 2"
    ) as error:
        read_manifest(run / "steps", 3)
    assert not isinstance(error.value, DamagedError)
    one_line(error)
