"""A new run: it appears whole, or not at all, and nothing else is ever touched."""

import itertools
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from jaxrnn.config import Config, SampleConfig
from jaxrnn.data.vocabulary import build_vocabulary
from jaxrnn.disk import put_in_place
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.runs import checkpoint, creation
from jaxrnn.runs.checkpoint import load_state, save_new
from jaxrnn.runs.creation import RunExistsError, check_destination, create_run
from jaxrnn.runs.directory import (
    METRICS_COLUMNS,
    is_run,
    new_record,
    read_config,
    read_record,
    read_vocabulary,
)
from jaxrnn.runs.saved_steps import SavedStep, list_steps

CONFIG = Config(sample=SampleConfig(prompt='"é\n'))
VOCABULARY = build_vocabulary('to be\n"é\\')
RECORD = new_record("play.txt", Path("play.txt"), "0" * 64, VOCABULARY)


def state_of(number: int) -> dict[str, Any]:
    return {"params": jnp.full((3,), number, jnp.float32)}


def create(path: str | Path, number: int = 0, *, overwrite: bool = False) -> None:
    create_run(Path(path), CONFIG, VOCABULARY, RECORD, state_of(number), overwrite=overwrite)


def number_of(run: str | Path) -> int:
    return int(load_state(Path(run), state_of(0))["params"][0])


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def tree(path: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the contents of files by their path; None for folders and links."""
    return {
        str(entry.relative_to(path)): entry.read_bytes()
        if entry.is_file() and not entry.is_symlink()
        else None
        for entry in path.rglob("*")
    }


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


# A new run.


def test_a_new_run_holds_all_there_is_to_know() -> None:
    create("checkpoints/play")
    run = Path("checkpoints/play")
    assert names(run) == [
        "config.toml",
        "metrics.csv",
        "run.json",
        "samples.txt",
        "steps",
        "vocabulary.json",
    ]
    assert read_config(run) == CONFIG
    assert read_vocabulary(run) == VOCABULARY
    assert read_record(run) == RECORD
    assert (run / "metrics.csv").read_text() == ",".join(METRICS_COLUMNS) + "\n"
    assert list_steps(run) == [SavedStep(0, None)]
    assert number_of(run) == 0
    assert names("checkpoints") == ["play"]


@pytest.mark.parametrize("path", ["a", "deep/down/a", "./a", "x/../a", "an empty one", "with space\té [/x]"])
def test_a_run_can_be_created_in_any_free_place(work: Path, path: str) -> None:
    (work / "an empty one").mkdir()
    (work / "x").mkdir()
    check_destination(Path(path))
    create(path, 5)
    assert number_of(path) == 5


def test_a_run_is_as_readable_for_others_as_any_new_folder(work: Path) -> None:
    create("run")
    (work / "folder").mkdir()
    assert (work / "run").stat().st_mode == (work / "folder").stat().st_mode


def test_a_run_may_lie_behind_a_link_to_its_parent(work: Path, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (work / "checkpoints").symlink_to(tmp_path / "big disk")
    create("checkpoints/play", 1)
    create("checkpoints/play", 2, overwrite=True)
    assert number_of(tmp_path / "big disk" / "play") == 2


def test_a_run_does_not_appear_before_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(new: Path, path: Path, aside: Path | None) -> None:
        seen.append((is_run(path), [saved.step for saved in list_steps(new)], read_config(new) == CONFIG))
        put_in_place(new, path, aside)

    monkeypatch.setattr(creation, "put_in_place", look)
    create("run")
    assert seen == [(False, [0], True)]


# A place that can't be used: one line, nothing written, nothing lost.


def make_file(work: Path) -> None:
    (work / "run").write_text("precious")


def make_foreign_folder(work: Path) -> None:
    (work / "run").mkdir()
    (work / "run" / "thesis.tex").write_text("precious")


def make_folder_with_another_record(work: Path) -> None:
    (work / "run").mkdir()
    (work / "run" / "run.json").write_text('{"format_version": 1}')


def make_link_to_run(work: Path) -> None:
    create(work / "elsewhere")
    (work / "run").symlink_to("elsewhere")


def make_dangling_link(work: Path) -> None:
    (work / "run").symlink_to("nowhere")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_file, "a file is here"),
        (make_foreign_folder, "no run (it has no run.json)"),
        (make_folder_with_another_record, "no run (its run.json can't be read as one)"),
        (make_link_to_run, "symbolic link"),
        (make_dangling_link, "symbolic link"),
    ],
)
def test_what_is_no_run_is_never_replaced(
    work: Path, make: Callable[[Path], None], words: str, overwrite: bool
) -> None:
    make(work)
    before = tree(work)
    for attempt in (check_destination, create):
        with pytest.raises(CheckpointError) as error:
            attempt(Path("run"), overwrite=overwrite)
        assert one_line(error).startswith("run: ")
        assert words in one_line(error)
    assert tree(work) == before


def test_a_run_that_exists_is_not_replaced_unasked(work: Path) -> None:
    create("run", 1)
    before = tree(work)
    for attempt in (check_destination, create):
        with pytest.raises(RunExistsError, match="resume it, overwrite it"):
            attempt(Path("run"))
    assert tree(work) == before


@pytest.mark.parametrize("path", [".", "..", "/", "./.", "../work", "nowhere/..", "run\0"])
def test_no_run_goes_where_the_ground_would_be_pulled_away(path: str) -> None:
    with pytest.raises(CheckpointError) as error:
        check_destination(Path(path), overwrite=True)
    one_line(error)


def test_no_run_goes_into_another_run() -> None:
    create("run")
    with pytest.raises(CheckpointError, match="inside the run"):
        create("run/deeper/one")


@pytest.mark.parametrize("path", ["file/run", "file/deeper/run"])
def test_no_run_goes_below_a_file(work: Path, path: str) -> None:
    (work / "file").touch()
    with pytest.raises(CheckpointError, match=r"file is no directory|Not a directory"):
        create(path)


def test_a_place_that_can_not_be_written_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(CheckpointError, match="can't be written"):
        create("deep/run")
    assert tree(work) == {}


def test_a_name_too_long_for_the_disk_is_refused() -> None:
    with pytest.raises(CheckpointError, match="File name too long"):
        check_destination(Path("n" * 300))


def test_a_run_whose_writing_fails_leaves_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"):
        create("run")
    assert tree(work) == {}


# Overwriting.


def test_overwriting_leaves_the_new_run_alone(work: Path) -> None:
    create("run", 1)
    (work / "run" / "notes.txt").touch()
    create("run", 2, overwrite=True)
    assert number_of("run") == 2
    assert names(work) == ["run"]
    assert not (work / "run" / "notes.txt").exists()


def test_overwriting_where_nothing_is_just_creates() -> None:
    create("run", 1, overwrite=True)
    assert number_of("run") == 1


def test_overwriting_deletes_nothing_through_a_link_in_the_old_run(work: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    create("run", 1)
    (work / "run" / "link").symlink_to(tmp_path / "outside")
    create("run", 2, overwrite=True)
    assert (tmp_path / "outside" / "precious").exists()


def test_the_old_run_is_there_until_the_new_one_is_whole(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create("run", 1)
    before = tree(work)
    monkeypatch.setattr(checkpoint, "hash_files", lambda _: {"lost": "0"})
    with pytest.raises(SaveError):
        create("run", 2, overwrite=True)
    assert tree(work) == before


def test_the_old_run_is_back_when_the_new_one_can_not_take_its_place(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("run", 1)
    rename = Path.rename

    def refuse_the_new_one(path: Path, target: Path) -> Path:
        if ".new-" in path.name:
            raise OSError(5, os.strerror(5))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(SaveError, match="Input/output error"):
        create("run", 2, overwrite=True)
    assert number_of("run") == 1
    assert names(work) == ["run"]


# What killed processes left.


def test_what_a_killed_process_left_is_cleaned_up(work: Path) -> None:
    create("run", 1)
    shutil.copytree("run", ".run.new-0123abcd")
    shutil.copytree("run", ".run.old-0123abcd")
    shutil.copytree("run", ".run.gone-0123abcd", ignore=shutil.ignore_patterns("steps", "config.toml"))
    for half_made in (".run.new-4567abcd", ".run.new-89abcdef"):
        (work / half_made).mkdir()
    (work / ".run.new-89abcdef" / ".run.json.new").touch()
    create("run", 2, overwrite=True)
    assert names(work) == ["run"]


def test_a_run_that_was_moved_aside_when_the_process_was_killed_is_brought_back(work: Path) -> None:
    create("run", 1)
    (work / "run").rename(work / ".run.old-0123abcd")
    with pytest.raises(RunExistsError):
        create("run", 2)
    assert number_of("run") == 1


def test_what_only_looks_like_a_leftover_stays(work: Path) -> None:
    create("other")
    shutil.copytree("other", ".run.new-mine")
    shutil.copytree("other", ".other.new-0123abcd")
    (work / ".run.old-0123abcd").mkdir()
    (work / ".run.old-0123abcd" / "precious").touch()
    (work / ".run.new-0123abcd").symlink_to("other")
    before = tree(work)
    create("run")
    assert before.items() <= tree(work).items()


def test_the_half_made_run_of_a_living_process_stays(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(steps: Path, *args: Any) -> None:
        monkeypatch.setattr(creation, "save_new", save_new)
        create("run", 2)  # another process, faster than we are
        save_new(steps, *args)

    monkeypatch.setattr(creation, "save_new", meanwhile)
    with pytest.raises(SaveError, match="not empty"):
        create("run", 1)
    assert number_of("run") == 2
    assert names(work) == ["run"]


def overwrite_for_ever() -> None:
    for number in itertools.count(1):
        create("run", number, overwrite=True)


def test_killed_at_any_moment_of_overwriting_no_run_is_lost(
    work: Path, kill_after: Callable[..., bool]
) -> None:
    create("run", 0)
    generator = random.Random(0)
    for _ in range(2):
        shutil.rmtree("run/steps/0/arrays")  # when they appear, the process has replaced the run once
        assert kill_after([sys.executable, __file__], Path("run/steps/0/arrays"), generator.random() * 0.3)
        with pytest.raises(RunExistsError):
            create("run", 0)  # brings back a run that was aside
        assert number_of("run") > 0
        create("run", 0, overwrite=True)
        assert names(work) == ["run"]


if __name__ == "__main__":  # the process that is killed above
    overwrite_for_ever()
