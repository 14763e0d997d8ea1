"""Creation of a run: atomic, and without effect on other files."""

import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxrnn import disk
from jaxrnn.errors import CheckpointError, LockedError, SaveError
from jaxrnn.runs import checkpoint, creation
from jaxrnn.runs.checkpoint import load_leaves, save_new
from jaxrnn.runs.creation import RunExistsError, check_destination, create_run
from jaxrnn.runs.directory import (
    METRICS_COLUMNS,
    is_run,
    read_config,
    read_record,
    read_vocabulary,
)
from jaxrnn.runs.saved_steps import list_steps

from .conftest import CONFIG, RECORD, VOCABULARY, known, names, one_line, state_of

pytestmark = pytest.mark.usefixtures("work")


def create(path: str | Path, number: int = 0, *, overwrite: bool = False) -> None:
    create_run(Path(path), CONFIG, VOCABULARY, RECORD, state_of(number), overwrite=overwrite)


def number_of(run: str | Path) -> int:
    return int(load_leaves(Path(run), "last")["params"][0])


def tree(path: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the contents of files by path; None for folders and links."""
    return {
        str(entry.relative_to(path)): entry.read_bytes()
        if entry.is_file() and not entry.is_symlink()
        else None
        for entry in path.rglob("*")
    }


# A new run.


def test_a_new_run_is_complete() -> None:
    create("checkpoints/play")
    run = Path("checkpoints/play")
    assert names(run) == [
        ".lock",
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
    assert [known(saved) for saved in list_steps(run)] == [(0, None)]
    assert number_of(run) == 0
    assert names("checkpoints") == ["play"]


@pytest.mark.parametrize("path", ["a", "deep/down/a", "./a", "x/../a", "an empty one", "with space\té (/x)"])
def test_a_run_can_be_created_at_any_free_path(work: Path, path: str) -> None:
    (work / "an empty one").mkdir()
    (work / "x").mkdir()
    check_destination(Path(path))
    create(path, 5)
    assert number_of(path) == 5


def test_a_run_has_the_permissions_of_a_new_folder(work: Path) -> None:
    create("run")
    (work / "folder").mkdir()
    assert (work / "run").stat().st_mode == (work / "folder").stat().st_mode


def test_the_parent_of_a_run_may_be_a_link(work: Path, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (work / "checkpoints").symlink_to(tmp_path / "big disk")
    create("checkpoints/play", 1)
    create("checkpoints/play", 2, overwrite=True)
    assert number_of(tmp_path / "big disk" / "play") == 2


@pytest.mark.parametrize("there", [False, True])
def test_a_link_to_a_free_path_is_followed(work: Path, there: bool) -> None:
    (work / "link").symlink_to("deep/fresh")
    if there:
        (work / "deep/fresh").mkdir(parents=True)
    check_destination(Path("link"))
    create("link", 3)
    assert (work / "link").is_symlink() and not (work / "deep/fresh").is_symlink()
    assert number_of("deep/fresh") == number_of("link") == 3


def test_a_folder_with_only_a_file_manager_file_is_free(work: Path) -> None:
    (work / "run").mkdir()
    (work / "run/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
    check_destination(Path("run"))
    create("run", 3)
    assert number_of("run") == 3
    assert not (work / "run/.DS_Store").exists()
    (work / "run/.DS_Store").touch()
    create("run", 4, overwrite=True)
    assert number_of("run") == 4


def test_a_run_does_not_appear_before_it_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(new: Path, path: Path, *, replace: bool) -> None:
        if path.name == "run":
            steps = [saved.step for saved in list_steps(new)]
            seen.append((is_run(path), steps, read_config(new) == CONFIG))
        put_in_place(new, path, replace=replace)

    put_in_place = disk.put_in_place
    monkeypatch.setattr(disk, "put_in_place", look)
    create("run")
    assert seen == [(False, [0], True)]


# Invalid paths: one line, nothing written or lost.


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


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_file, "a file is here"),
        (make_foreign_folder, "not a run (it has no run.json)"),
        (make_folder_with_another_record, "not a run (its run.json is not the record of a run)"),
        (make_link_to_run, "symbolic link"),
    ],
)
def test_a_path_that_is_not_a_run_is_never_replaced(
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


def test_an_existing_run_is_replaced_only_with_overwrite(work: Path) -> None:
    create("run", 1)
    before = tree(work)
    for attempt in (check_destination, create):
        with pytest.raises(RunExistsError, match="resume it, overwrite it"):
            attempt(Path("run"))
    assert tree(work) == before


@pytest.mark.parametrize("path", [".", "..", "/", "./.", "../work", "nowhere/..", "run\0"])
def test_the_working_directory_is_never_replaced(path: str) -> None:
    with pytest.raises(CheckpointError) as error:
        check_destination(Path(path), overwrite=True)
    one_line(error)


def test_a_run_inside_another_run_is_refused() -> None:
    create("run")
    with pytest.raises(CheckpointError, match="inside the run"):
        create("run/deeper/one")


@pytest.mark.parametrize("path", ["file/run", "file/deeper/run"])
def test_a_run_below_a_file_is_refused(work: Path, path: str) -> None:
    (work / "file").touch()
    with pytest.raises(CheckpointError, match=r"file is not a folder|Not a directory"):
        create(path)


def test_an_unwritable_path_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # because root may write everywhere
    with pytest.raises(CheckpointError, match="not a folder that can be written"):
        create("deep/run")
    assert tree(work) == {}


@pytest.mark.parametrize(
    "name", ["back\\slash", os.fsdecode(b"latin-\xe9"), "up\\here/run", "[a]/run", "a*", "wh?t"]
)
def test_a_path_that_orbax_misreads_is_refused(work: Path, name: str) -> None:
    (work / Path(name).parent).mkdir(exist_ok=True)
    for attempt in (check_destination, create):
        with pytest.raises(
            CheckpointError, match=r"a backslash, \*, \?, \[ or a byte that is not UTF-8"
        ) as error:
            attempt(Path(name))
        one_line(error)
    assert not (work / name).exists()


def test_a_name_too_long_for_the_file_system_is_refused() -> None:
    with pytest.raises(CheckpointError, match="File name too long"):
        check_destination(Path("n" * 300))


def test_a_failed_creation_leaves_no_files(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(disk, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"):
        create("run")
    assert tree(work) == {}


# Overwriting.


def test_overwriting_leaves_only_the_new_run(work: Path) -> None:
    create("run", 1)
    (work / "run" / "notes.txt").touch()
    create("run", 2, overwrite=True)
    assert number_of("run") == 2
    assert names(work) == ["run"]
    assert not (work / "run" / "notes.txt").exists()


def test_overwriting_without_a_run_creates_one() -> None:
    create("run", 1, overwrite=True)
    assert number_of("run") == 1


def test_overwriting_does_not_follow_links_in_the_old_run(work: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    create("run", 1)
    (work / "run" / "link").symlink_to(tmp_path / "outside")
    create("run", 2, overwrite=True)
    assert (tmp_path / "outside" / "precious").exists()


def test_the_old_run_exists_until_the_new_one_is_complete(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("run", 1)
    before = tree(work)
    monkeypatch.setattr(checkpoint, "read_leaves", lambda *_: state_of(3))
    with pytest.raises(SaveError, match=r"^run/steps/0: "):
        create("run", 2, overwrite=True)
    assert tree(work) == before


def test_the_old_run_stays_if_the_exchange_fails(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, os.strerror(5))

    create("run", 1)
    monkeypatch.setattr(disk, "_exchange", refuse)
    with pytest.raises(SaveError, match="Input/output error"):
        create("run", 2, overwrite=True)
    assert number_of("run") == 1
    assert names(work) == ["run"]


# Leftovers of killed processes.


@pytest.mark.parametrize("is_complete", [True, False])
def test_leftovers_of_a_killed_process_are_deleted(work: Path, is_complete: bool) -> None:
    left = work / ".run.jaxrnn-new"
    if is_complete:
        create("run", 1)
        (work / "run").rename(left)
    else:
        left.mkdir()
        (left / ".run.json.new").touch()
    create("run", 2)
    assert number_of("run") == 2
    assert names(work) == ["run"]
    assert ".run.json.new" not in names("run")


def test_a_symbolic_link_named_like_a_leftover_is_not_followed(work: Path) -> None:
    create("other")
    before = tree(work)
    (work / ".run.jaxrnn-new").symlink_to("other")
    create("run")
    assert before.items() <= tree(work).items()
    assert names(work) == ["other", "run"]


def test_the_second_of_two_processes_that_create_a_run_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*args: Any) -> None:
        monkeypatch.setattr(creation, "save_new", save_new)
        with pytest.raises(LockedError, match=r"^run: is being written by process"):
            create("run", 2)
        save_new(*args)

    monkeypatch.setattr(creation, "save_new", meanwhile)
    create("run", 1)
    assert number_of("run") == 1
    assert names(work) == ["run"]


def test_a_run_created_concurrently_is_not_replaced(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*args: Any) -> None:
        save_new(*args)
        shutil.copytree("other", "run")

    create("other", 2)
    monkeypatch.setattr(creation, "save_new", meanwhile)
    with pytest.raises(SaveError, match="not empty"):
        create("run", 1)
    assert number_of("run") == 2
    assert names(work) == ["other", "run"]


OVERWRITE_FOR_EVER = """
import itertools
from pathlib import Path
import jax.numpy as jnp
from jaxrnn.config import Config
from jaxrnn.data.vocabulary import build_vocabulary
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import new_record
vocabulary = build_vocabulary("ab")
record = new_record("play.txt", Path("play.txt"), "0" * 64, vocabulary)
for number in itertools.count(1):
    state = {"params": jnp.full((3,), number, jnp.float32)}
    create_run(Path("run"), Config(), vocabulary, record, state, overwrite=True)
"""


def test_there_is_always_a_run_when_killed_while_overwriting(
    work: Path, kill_after: Callable[..., bool]
) -> None:
    create("run", 0)
    generator = random.Random(0)
    for _ in range(2):
        shutil.rmtree(
            "run/steps/0/arrays"
        )  # their reappearance shows that the process has replaced the run once
        command = [sys.executable, "-c", OVERWRITE_FOR_EVER]
        assert kill_after(command, Path("run/steps/0/arrays"), generator.random() * 0.3)
        assert number_of("run") > 0
        create("run", 0, overwrite=True)
        assert names(work) == ["run"]
