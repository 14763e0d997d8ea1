"""The run directory: it appears whole, is found by name, and nothing else is ever touched."""

import csv
import itertools
import json
import os
import random
import shutil
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

import jaxrnn
from jaxrnn import checkpoint, disk, run_directory
from jaxrnn.checkpoint import Checkpoints, load_state
from jaxrnn.config import Config, SampleConfig
from jaxrnn.errors import CheckpointError, ConfigError, SaveError, VocabularyError
from jaxrnn.run_directory import (
    METRICS_COLUMNS,
    RunExistsError,
    append_metrics,
    append_sample,
    check_destination,
    create_run,
    default_run,
    find_run,
    is_run,
    new_record,
    read_config,
    read_record,
    read_vocabulary,
)
from jaxrnn.saved_steps import SavedStep, list_steps
from jaxrnn.vocabulary import build_vocabulary

CONFIG = Config(sample=SampleConfig(seed='"é\n'))
VOCABULARY = build_vocabulary('to be\n"é\\')
RECORD = new_record("play.txt", Path("play.txt"), "0" * 64)


def state_of(number):
    return {"params": jnp.full((3,), number, jnp.float32)}


def create(path, number=0, **options):
    create_run(Path(path), CONFIG, VOCABULARY, RECORD, state_of(number), **options)


def number_of(run):
    return int(load_state(Path(run), state_of(0))["params"][0])


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def tree(path):
    """Everything below a folder: the contents of files by their path; None for folders and links."""
    return {
        str(entry.relative_to(path)): entry.read_bytes()
        if entry.is_file() and not entry.is_symlink()
        else None
        for entry in path.rglob("*")
    }


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


# A new run.


def test_a_new_run_holds_all_there_is_to_know():
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


def test_the_record_says_where_the_run_comes_from():
    assert RECORD.corpus == "play.txt"
    assert Path(RECORD.corpus_path).is_absolute()
    assert RECORD.jaxrnn_version == jaxrnn.__version__
    assert RECORD.created.endswith("+00:00")


@pytest.mark.parametrize("path", ["a", "deep/down/a", "./a", "x/../a", "an empty one", "with space\té [/x]"])
def test_a_run_can_be_created_in_any_free_place(work, path):
    (work / "an empty one").mkdir()
    (work / "x").mkdir()
    check_destination(Path(path))
    create(path, 5)
    assert number_of(path) == 5


def test_a_run_is_as_readable_for_others_as_any_new_folder(work):
    create("run")
    (work / "folder").mkdir()
    assert (work / "run").stat().st_mode == (work / "folder").stat().st_mode


def test_a_run_may_lie_behind_a_link_to_its_parent(work, tmp_path):
    (tmp_path / "big disk").mkdir()
    (work / "checkpoints").symlink_to(tmp_path / "big disk")
    create("checkpoints/play", 1)
    create("checkpoints/play", 2, overwrite=True)
    assert number_of(tmp_path / "big disk" / "play") == 2


def test_a_run_does_not_appear_before_it_is_whole(monkeypatch):
    seen = []
    put = run_directory.put_in_place

    def look(new, path, aside):
        seen.append((is_run(path), [saved.step for saved in list_steps(new)], read_config(new) == CONFIG))
        put(new, path, aside)

    monkeypatch.setattr(run_directory, "put_in_place", look)
    create("run")
    assert seen == [(False, [0], True)]


# A place that can't be used: one line, nothing written, nothing lost.


def make_file(work):
    (work / "run").write_text("precious")


def make_foreign_folder(work):
    (work / "run").mkdir()
    (work / "run" / "thesis.tex").write_text("precious")


def make_folder_with_another_record(work):
    (work / "run").mkdir()
    (work / "run" / "run.json").write_text('{"format_version": 1}')


def make_link_to_run(work):
    create(work / "elsewhere")
    (work / "run").symlink_to("elsewhere")


def make_dangling_link(work):
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
def test_what_is_no_run_is_never_replaced(work, make, words, overwrite):
    make(work)
    before = tree(work)
    for attempt in (check_destination, create):
        with pytest.raises(CheckpointError) as error:
            attempt(Path("run"), overwrite=overwrite)
        assert one_line(error).startswith("run: ")
        assert words in one_line(error)
    assert tree(work) == before


def test_a_run_that_exists_is_not_replaced_unasked(work):
    create("run", 1)
    before = tree(work)
    for attempt in (check_destination, create):
        with pytest.raises(RunExistsError, match="resume it, overwrite it"):
            attempt(Path("run"))
    assert tree(work) == before


@pytest.mark.parametrize("path", [".", "..", "/", "./.", "../work", "nowhere/..", "run\0"])
def test_no_run_goes_where_the_ground_would_be_pulled_away(path):
    with pytest.raises(CheckpointError) as error:
        check_destination(Path(path), overwrite=True)
    one_line(error)


def test_no_run_goes_into_another_run():
    create("run")
    with pytest.raises(CheckpointError, match="inside the run"):
        create("run/deeper/one")


@pytest.mark.parametrize("path", ["file/run", "file/deeper/run"])
def test_no_run_goes_below_a_file(work, path):
    (work / "file").touch()
    with pytest.raises(CheckpointError, match=r"file is no directory|Not a directory"):
        create(path)


def test_a_place_that_can_not_be_written_is_refused(work, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(CheckpointError, match="can't be written"):
        create("deep/run")
    assert tree(work) == {}


def test_a_name_too_long_for_the_disk_is_refused():
    with pytest.raises(CheckpointError, match="File name too long"):
        check_destination(Path("n" * 300))


def test_a_run_whose_writing_fails_leaves_nothing(work, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"):
        create("run")
    assert tree(work) == {}


# Overwriting.


def test_overwriting_leaves_the_new_run_alone(work):
    create("run", 1)
    (work / "run" / "notes.txt").touch()
    create("run", 2, overwrite=True)
    assert number_of("run") == 2
    assert names(work) == ["run"]
    assert not (work / "run" / "notes.txt").exists()


def test_overwriting_where_nothing_is_just_creates():
    create("run", 1, overwrite=True)
    assert number_of("run") == 1


def test_overwriting_deletes_nothing_through_a_link_in_the_old_run(work, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    create("run", 1)
    (work / "run" / "link").symlink_to(tmp_path / "outside")
    create("run", 2, overwrite=True)
    assert (tmp_path / "outside" / "precious").exists()


def test_the_old_run_is_there_until_the_new_one_is_whole(work, monkeypatch):
    create("run", 1)
    before = tree(work)
    monkeypatch.setattr(checkpoint, "hash_files", lambda _: {"lost": "0"})
    with pytest.raises(SaveError):
        create("run", 2, overwrite=True)
    assert tree(work) == before


def test_the_old_run_is_back_when_the_new_one_can_not_take_its_place(work, monkeypatch):
    create("run", 1)
    rename = Path.rename

    def refuse_the_new_one(path, target):
        if ".new-" in path.name:
            raise OSError(5, os.strerror(5))
        return rename(path, target)

    monkeypatch.setattr(disk.Path, "rename", refuse_the_new_one)
    with pytest.raises(SaveError, match="Input/output error"):
        create("run", 2, overwrite=True)
    assert number_of("run") == 1
    assert names(work) == ["run"]


# What killed processes left.


def test_what_a_killed_process_left_is_cleaned_up(work):
    create("run", 1)
    shutil.copytree("run", ".run.new-0123abcd")
    shutil.copytree("run", ".run.old-0123abcd")
    shutil.copytree("run", ".run.gone-0123abcd", ignore=shutil.ignore_patterns("steps", "config.toml"))
    for half_made in (".run.new-4567abcd", ".run.new-89abcdef"):
        (work / half_made).mkdir()
    (work / ".run.new-89abcdef" / ".run.json.new").touch()
    create("run", 2, overwrite=True)
    assert names(work) == ["run"]


def test_a_run_that_was_moved_aside_when_the_process_was_killed_is_brought_back(work):
    create("run", 1)
    (work / "run").rename(work / ".run.old-0123abcd")
    with pytest.raises(RunExistsError):
        create("run", 2)
    assert number_of("run") == 1


def test_what_only_looks_like_a_leftover_stays(work):
    create("other")
    shutil.copytree("other", ".run.new-mine")
    shutil.copytree("other", ".other.new-0123abcd")
    (work / ".run.old-0123abcd").mkdir()
    (work / ".run.old-0123abcd" / "precious").touch()
    (work / ".run.new-0123abcd").symlink_to("other")
    before = tree(work)
    create("run")
    assert before.items() <= tree(work).items()


def test_the_half_made_run_of_a_living_process_stays(work, monkeypatch):
    save_new = checkpoint.save_new
    monkeypatch.setattr(checkpoint, "save_new", save_new)

    def meanwhile(steps, state):
        monkeypatch.setattr(checkpoint, "save_new", save_new)
        create("run", 2)  # another process, faster than we are
        save_new(steps, state)

    monkeypatch.setattr(checkpoint, "save_new", meanwhile)
    with pytest.raises(SaveError, match="not empty"):
        create("run", 1)
    assert number_of("run") == 2
    assert names(work) == ["run"]


def overwrite_for_ever():
    for number in itertools.count(1):
        create("run", number, overwrite=True)


def test_killed_at_any_moment_of_overwriting_no_run_is_lost(work, kill_after):
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


# Finding a run.


def test_a_run_is_found_by_its_path_and_by_its_name(work):
    create("checkpoints/play")
    create("elsewhere/play")
    assert find_run("checkpoints/play") == Path("checkpoints/play")
    assert find_run("play") == Path("checkpoints/play")
    assert find_run("elsewhere/play/") == Path("elsewhere/play")
    assert find_run(str(work / "elsewhere" / "play")) == work / "elsewhere" / "play"


def test_a_run_in_the_working_directory_comes_before_one_in_checkpoints():
    create("checkpoints/play")
    create("play")
    assert find_run("play") == Path("play")


def test_a_folder_of_the_same_name_does_not_hide_a_run(work):
    create("checkpoints/play")
    (work / "play").mkdir()
    assert find_run("play") == Path("checkpoints/play")


def test_the_newest_run_is_the_one_that_saved_last(work):
    for name in ("a", "b", "c"):
        create(f"checkpoints/{name}")
    create("checkpoints/.hidden")
    (work / "checkpoints" / "no run").mkdir()
    for name, time in [("a", 3), ("b", 5), ("c", 4), (".hidden", 9)]:
        os.utime(f"checkpoints/{name}/steps", (time, time))
    assert find_run() == Path("checkpoints/b")
    with Checkpoints(Path("checkpoints/a")) as checkpoints:
        checkpoints.save(1, state_of(1))
    assert find_run() == Path("checkpoints/a")


@pytest.mark.parametrize("make", [lambda _: None, lambda work: (work / "checkpoints").mkdir()])
def test_no_run_at_all_says_so(work, make):
    make(work)
    with pytest.raises(CheckpointError, match="no run here yet") as error:
        find_run()
    one_line(error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shakespear", "did you mean shakespeare?"),
        ("zzz", "in checkpoints/: shakespeare"),
        ("", "no such run"),
        ("file", "no run directory but a file"),
        ("folder", "it has no run.json"),
        ("missing/run", "no such run"),
        ("run\0", "no such run"),
        ("n" * 300, "no such run"),
        ("file/run", "no such run"),
    ],
)
def test_a_name_that_is_no_run_is_refused_with_a_hint(work, name, words):
    create("checkpoints/shakespeare")
    (work / "file").touch()
    (work / "folder").mkdir()
    with pytest.raises(CheckpointError) as error:
        find_run(name)
    assert words in one_line(error)


@pytest.mark.parametrize("name", ["..", "../outside", ".", "checkpoints/../../outside"])
def test_a_bare_name_can_not_leave_checkpoints(work, name):
    create("../outside")
    create("run.json")  # a run where `checkpoints/..` would lead to one
    (work / "checkpoints").mkdir()
    found = None
    try:
        found = find_run(name)
    except CheckpointError:
        assert name in ("..", ".")
    assert found is None or found == Path(name)  # a path is what the user says it is


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("configs/shakespeare.toml", "shakespeare"),
        ("shakespeare", "shakespeare"),
        ("/etc/my.v2.toml", "my.v2"),
        ("../up.toml", "up"),
        ("no.suffix", "no.suffix"),
    ],
)
def test_a_run_is_named_after_its_config(config, name):
    assert default_run(config) == Path("checkpoints") / name


@pytest.mark.parametrize(
    "config", ["", "/", "..", "...toml", ".toml", ".hidden.toml", "a/..", "new\nline.toml"]
)
def test_a_config_whose_name_could_leave_checkpoints_names_no_run(config):
    with pytest.raises(CheckpointError, match="name a run directory"):
        default_run(config)


# Reading a run.


@pytest.mark.parametrize(
    ("name", "text", "read", "kind"),
    [
        ("run.json", None, read_record, CheckpointError),
        ("run.json", "", read_record, CheckpointError),
        ("run.json", "{", read_record, CheckpointError),
        ("run.json", "[]", read_record, CheckpointError),
        ("run.json", "[" * 100_000, read_record, CheckpointError),
        ("run.json", '{"kind": "jaxrnn run", "format_version": true}', read_record, CheckpointError),
        (
            "run.json",
            '{"kind": "jaxrnn run", "format_version": 1, "corpus": 3}',
            read_record,
            CheckpointError,
        ),
        ("config.toml", None, read_config, CheckpointError),
        ("config.toml", "[train]\nsteps = -1", read_config, ConfigError),
        ("vocabulary.json", None, read_vocabulary, CheckpointError),
        ("vocabulary.json", "{", read_vocabulary, VocabularyError),
    ],
)
def test_a_damaged_file_is_named_in_one_line(name, text, read, kind):
    create("run")
    path = Path("run") / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind) as error:
        read(Path("run"))
    assert str(path) in one_line(error)


@pytest.mark.parametrize("read", [read_record, read_config, read_vocabulary])
def test_bytes_that_are_no_text_are_refused(read):
    create("run")
    for name in ("run.json", "config.toml", "vocabulary.json"):
        (Path("run") / name).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError) as error:
        read(Path("run"))
    one_line(error)


def test_a_run_of_a_newer_format_is_refused_in_words():
    create("run")
    values = json.loads(Path("run/run.json").read_text())
    values.update(format_version=7, jaxrnn_version="9.9")
    Path("run/run.json").write_text(json.dumps(values))
    assert is_run(Path("run"))
    with pytest.raises(CheckpointError, match=r"format version 7, written by jaxrnn 9\.9.*update"):
        read_record(Path("run"))


def test_a_record_with_more_in_it_is_read():
    create("run")
    values = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**values, "new in a later version": 1}))
    assert read_record(Path("run")) == RECORD


# Writing as training goes on.


def test_metrics_are_rows_by_column_and_empty_where_nothing_is_known():
    create("run")
    append_metrics(Path("run"), {"step": 5, "train_loss": 0.1, "event": "progress"})
    append_metrics(Path("run"), {"event": "evaluation", "step": 10, "train_loss": None, "val_loss": 1 / 3})
    with Path("run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == METRICS_COLUMNS
    assert {key: value for key, value in rows[0].items() if value} == {
        "step": "5",
        "train_loss": "0.1",
        "event": "progress",
    }
    assert float(rows[1]["val_loss"]) == 1 / 3
    assert rows[1]["train_loss"] == ""


def test_a_column_that_metrics_do_not_have_is_refused():
    create("run")
    with pytest.raises(ValueError, match="loss"):
        append_metrics(Path("run"), {"loss": 1})


def test_samples_are_kept_to_the_character():
    create("run")
    append_sample(Path("run"), 10, "é\r\n\x00")
    append_sample(Path("run"), 20, "b")
    assert (
        Path("run/samples.txt").read_bytes()
        == "--- step 10 ---\né\r\n\x00\n\n--- step 20 ---\nb\n\n".encode()
    )


@pytest.mark.parametrize(
    "append",
    [lambda run: append_metrics(run, {"step": 1}), lambda run: append_sample(run, 1, "text")],
)
def test_a_file_that_can_not_be_written_is_one_line(append):
    with pytest.raises(SaveError, match=r"run/.*: can't be written: No such file or directory") as error:
        append(Path("run"))
    one_line(error)


def test_a_copy_of_a_run_is_a_run():
    create("run", 3)
    shutil.copytree("run", "copy")
    shutil.rmtree("run")
    assert find_run("copy") == Path("copy")
    assert read_vocabulary(Path("copy")) == VOCABULARY
    assert number_of("copy") == 3


if __name__ == "__main__":  # the process that is killed above
    overwrite_for_ever()
