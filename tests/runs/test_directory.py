"""The run directory: found by name, read with care, added to as training goes on."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import jaxrnn
from jaxrnn.config import Config, SampleConfig
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, byte_vocabulary, vocabulary_to_json
from jaxrnn.errors import CheckpointError, ConfigError, DamagedError, SaveError, VocabularyError
from jaxrnn.runs.checkpoint import load_state
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import (
    METRICS_COLUMNS,
    append_metrics,
    append_sample,
    default_run,
    find_destination,
    find_run,
    is_run,
    new_record,
    read_config,
    read_record,
    read_vocabulary,
)
from jaxrnn.runs.saving import Checkpoints

CONFIG = Config(sample=SampleConfig(prompt='"é\n'))
VOCABULARY = build_vocabulary('to be\n"é\\')
RECORD = new_record("play.txt", Path("play.txt"), "0" * 64, VOCABULARY)


def state_of(number: int) -> dict[str, Any]:
    return {"params": jnp.full((3,), number, jnp.float32)}


def create(path: str | Path, number: int = 0) -> None:
    create_run(Path(path), CONFIG, VOCABULARY, RECORD, state_of(number))


def number_of(run: str | Path) -> int:
    return int(load_state(Path(run), state_of(0))["params"][0])


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


# Finding a run.


def test_a_run_is_found_by_its_path_and_by_its_name(work: Path) -> None:
    create("checkpoints/play")
    create("elsewhere/play")
    assert find_run("checkpoints/play") == Path("checkpoints/play")
    assert find_run("play") == Path("checkpoints/play")
    assert find_run("elsewhere/play/") == Path("elsewhere/play")
    assert find_run(str(work / "elsewhere" / "play")) == work / "elsewhere" / "play"


def test_a_run_in_the_working_directory_comes_before_one_in_checkpoints() -> None:
    create("checkpoints/play")
    create("play")
    assert find_run("play") == Path("play")


def test_a_folder_of_the_same_name_does_not_hide_a_run(work: Path) -> None:
    create("checkpoints/play")
    (work / "play").mkdir()
    assert find_run("play") == Path("checkpoints/play")


def test_the_newest_run_is_the_one_that_saved_last(work: Path) -> None:
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
def test_no_run_at_all_says_so(work: Path, make: Callable[[Path], None]) -> None:
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
def test_a_name_that_is_no_run_is_refused_with_a_hint(work: Path, name: str, words: str) -> None:
    create("checkpoints/shakespeare")
    (work / "file").touch()
    (work / "folder").mkdir()
    with pytest.raises(CheckpointError) as error:
        find_run(name)
    assert words in one_line(error)


@pytest.mark.parametrize("name", ["..", "../outside", ".", "checkpoints/../../outside"])
def test_a_bare_name_can_not_leave_checkpoints(work: Path, name: str) -> None:
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
def test_a_run_is_named_after_its_config(config: str, name: str) -> None:
    assert default_run(config) == Path("checkpoints") / name


@pytest.mark.parametrize(
    "config", ["", "/", "..", "...toml", ".toml", ".hidden.toml", "a/..", "new\nline.toml"]
)
def test_a_config_whose_name_could_leave_checkpoints_names_no_run(config: str) -> None:
    with pytest.raises(CheckpointError, match="name a run directory"):
        default_run(config)


# Reading a run.


def test_the_record_says_where_the_run_comes_from() -> None:
    assert RECORD.corpus == "play.txt"
    assert isinstance(RECORD.corpus_path, str)
    assert Path(RECORD.corpus_path).is_absolute()
    assert RECORD.jaxrnn_version == jaxrnn.__version__
    assert RECORD.created.endswith("+00:00")


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
        ("vocabulary.json", vocabulary_to_json(byte_vocabulary()), read_vocabulary, DamagedError),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    name: str, text: str | None, read: Callable[[Path], object], kind: type[Exception]
) -> None:
    create("run")
    path = Path("run") / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind) as error:
        read(Path("run"))
    assert str(path) in one_line(error)


@pytest.mark.parametrize("read", [read_record, read_config, read_vocabulary])
def test_bytes_that_are_no_text_are_refused(read: Callable[[Path], object]) -> None:
    create("run")
    for name in ("run.json", "config.toml", "vocabulary.json"):
        (Path("run") / name).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError) as error:
        read(Path("run"))
    one_line(error)


def test_a_run_of_a_newer_format_is_refused_in_words() -> None:
    create("run")
    values = json.loads(Path("run/run.json").read_text())
    values.update(format_version=7, jaxrnn_version="9.9")
    Path("run/run.json").write_text(json.dumps(values))
    assert is_run(Path("run"))
    with pytest.raises(CheckpointError, match=r"format version 7, written by jaxrnn 9\.9.*update"):
        read_record(Path("run"))


def test_a_record_with_more_in_it_is_read() -> None:
    create("run")
    values = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**values, "new in a later version": 1}))
    assert read_record(Path("run")) == RECORD


# Writing as training goes on.


def test_metrics_are_rows_by_column_and_empty_where_nothing_is_known() -> None:
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


def test_a_column_that_metrics_do_not_have_is_refused() -> None:
    create("run")
    with pytest.raises(ValueError, match="loss"):
        append_metrics(Path("run"), {"loss": 1})


def test_samples_are_kept_to_the_character() -> None:
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
def test_a_file_that_can_not_be_written_is_one_line(append: Callable[[Path], None]) -> None:
    with pytest.raises(SaveError, match=r"run/.*: can't be written: No such file or directory") as error:
        append(Path("run"))
    one_line(error)


def test_a_copy_of_a_run_is_a_run() -> None:
    create("run", 3)
    shutil.copytree("run", "copy")
    shutil.rmtree("run")
    assert find_run("copy") == Path("copy")
    assert read_vocabulary(Path("copy")) == VOCABULARY
    assert number_of("copy") == 3


def test_a_vocabulary_of_all_bytes_is_not_one_of_the_characters_of_their_numbers() -> None:
    alike = Vocabulary(byte_vocabulary().characters)
    hashes = [
        new_record("t", Path("t"), "", vocabulary).vocabulary_sha256
        for vocabulary in (byte_vocabulary(), alike)
    ]
    assert hashes[0] != hashes[1] == hashlib.sha256(alike.characters.encode()).hexdigest()


@pytest.mark.parametrize(
    ("to", "path"),
    [("other", "checkpoints/other"), ("./other", "other"), ("a/b", "a/b"), ("/a/b", "/a/b"), ("..", "..")],
)
def test_a_bare_destination_is_in_checkpoints_and_a_path_is_a_path(to: str, path: str) -> None:
    assert find_destination(to) == Path(path)


def test_an_empty_destination_is_refused() -> None:
    with pytest.raises(CheckpointError, match="--to"):
        find_destination("")
