"""The run directory: lookup by name, reading with checks, logs."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import jaxrnn
from jaxrnn.config import Config
from jaxrnn.data.vocabulary import Vocabulary, byte_vocabulary, vocabulary_to_json
from jaxrnn.errors import CheckpointError, ConfigError, DamagedError, SaveError, VocabularyError
from jaxrnn.runs import directory
from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import (
    METRICS_COLUMNS,
    RunRecord,
    append_metrics,
    append_sample,
    cut_logs,
    default_run,
    find_destination,
    find_run,
    is_run,
    log_lengths,
    new_record,
    read_config,
    read_record,
    read_vocabulary,
    write_config,
)
from jaxrnn.runs.saving import Checkpoints

from .conftest import CONFIG, RECORD, VOCABULARY, flip, one_line, state_of

pytestmark = pytest.mark.usefixtures("work")


def create(path: str | Path, number: int = 0, record: RunRecord = RECORD) -> Path:
    create_run(Path(path), CONFIG, VOCABULARY, record, state_of(number))
    return Path(path)


# Finding a run.


def test_a_run_is_found_by_path_and_by_name(work: Path) -> None:
    create("checkpoints/play")
    create("elsewhere/play")
    assert find_run("checkpoints/play") == Path("checkpoints/play")
    assert find_run("play") == Path("checkpoints/play")
    assert find_run("elsewhere/play/") == Path("elsewhere/play")
    assert find_run(str(work / "elsewhere" / "play")) == work / "elsewhere" / "play"


def test_a_run_in_the_working_directory_takes_precedence_over_checkpoints() -> None:
    create("checkpoints/play")
    create("play")
    assert find_run("play") == Path("play")


def test_a_folder_of_the_same_name_does_not_hide_a_run(work: Path) -> None:
    create("checkpoints/play")
    (work / "play").mkdir()
    assert find_run("play") == Path("checkpoints/play")


@pytest.mark.parametrize("name", [".hidden", "new\nline", "-", "é ü"])
def test_the_name_of_a_destination_finds_the_run(name: str) -> None:
    create(str(find_destination(name)))
    assert find_run(name) == Path("checkpoints", name)


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
def test_a_missing_newest_run_is_an_error(work: Path, make: Callable[[Path], None]) -> None:
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
        ("file", "not a run directory (it has no run.json)"),
        ("folder", "it has no run.json"),
        ("missing/run", "no such run"),
        ("run\0", "no such run"),
        ("n" * 300, "no such run"),
        ("file/run", "no such run"),
    ],
)
def test_a_name_without_a_run_is_refused_with_a_hint(work: Path, name: str, words: str) -> None:
    create("checkpoints/shakespeare")
    (work / "file").touch()
    (work / "folder").mkdir()
    with pytest.raises(CheckpointError) as error:
        find_run(name)
    assert words in one_line(error)


@pytest.mark.parametrize("name", ["..", "../outside", ".", "checkpoints/../../outside"])
def test_a_bare_name_stays_inside_checkpoints(work: Path, name: str) -> None:
    create("../outside")
    create("run.json")  # a run at `checkpoints/..`
    (work / "checkpoints").mkdir()
    found = None
    try:
        found = find_run(name)
    except CheckpointError:
        assert name in ("..", ".")
    assert found is None or found == Path(name)  # a path is used as given


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
def test_a_config_name_that_leaves_checkpoints_is_refused(config: str) -> None:
    with pytest.raises(CheckpointError, match="name a run directory"):
        default_run(config)


# Reading a run.


def test_the_record_has_the_origin_of_the_run() -> None:
    assert RECORD.corpus == "play.txt"
    assert isinstance(RECORD.corpus_path, str)
    assert Path(RECORD.corpus_path).is_absolute()
    assert RECORD.jaxrnn_version == jaxrnn.__version__
    assert RECORD.created.endswith("+00:00")


def test_a_record_of_several_corpora_and_ancestors_survives_a_round_trip() -> None:
    history = (directory.Ancestor("/runs/old", 3, "old.txt", "1" * 64),)
    record = new_record("2 files", (Path("a.txt"), Path("b.txt")), "0" * 64, VOCABULARY, history)
    assert read_record(create("run", record=record)) == record


@pytest.mark.parametrize(
    ("name", "text", "read", "kind"),
    [
        ("run.json", None, read_record, DamagedError),
        ("run.json", "", read_record, DamagedError),
        ("run.json", "{", read_record, DamagedError),
        ("run.json", "[]", read_record, CheckpointError),
        ("run.json", "[" * 100_000, read_record, DamagedError),
        ("run.json", '{"kind": "jaxrnn run", "format_version": true}', read_record, CheckpointError),
        ("run.json", '{"kind": "jaxrnn run", "format_version": 2}', read_record, DamagedError),
        ("config.toml", None, read_config, DamagedError),
        ("config.toml", "[train]\nsteps = 1\n", read_config, DamagedError),
        ("config.toml", directory._seal("[train]\nsteps = -1\n"), read_config, ConfigError),
        ("vocabulary.json", None, read_vocabulary, DamagedError),
        ("vocabulary.json", "{", read_vocabulary, VocabularyError),
        ("vocabulary.json", vocabulary_to_json(byte_vocabulary()), read_vocabulary, DamagedError),
    ],
)
def test_a_corrupt_file_is_named_in_one_line(
    name: str, text: str | None, read: Callable[[Path], object], kind: type[Exception]
) -> None:
    path = create("run") / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind) as error:
        read(Path("run"))
    assert str(path) in one_line(error)


def change_record(**values: object) -> None:
    record = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**record, **values}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("corpus", 3),
        ("corpus_path", ["a", 3]),
        ("created", None),
        ("corpus_sha256", "../../etc/passwd"),
        ("imported_sha256", "A" * 64),
        ("history", [{"run": "x"}]),
        ("history", "none"),
        ("unknown", "x"),
    ],
)
def test_an_invalid_value_in_the_record_is_refused(name: str, value: object) -> None:
    create("run")
    change_record(**{name: value})
    with pytest.raises(DamagedError, match=r"run/run\.json: corrupt") as error:
        read_record(Path("run"))
    one_line(error)


@pytest.mark.parametrize("read", [read_record, read_config, read_vocabulary])
@pytest.mark.parametrize("kind", ["bytes", "device"])
def test_a_binary_or_irregular_file_is_refused(read: Callable[[Path], object], kind: str) -> None:
    create("run")
    for name in ("run.json", "config.toml", "vocabulary.json"):
        (Path("run") / name).unlink()
        if kind == "bytes":
            (Path("run") / name).write_bytes(b"\xff\xfe")
        else:
            (Path("run") / name).symlink_to("/dev/zero")
    assert not is_run(Path("run"))
    with pytest.raises(DamagedError) as error:
        read(Path("run"))
    one_line(error)


def test_every_flipped_bit_of_the_config_is_detected() -> None:
    path = create("run") / "config.toml"
    good = path.read_bytes()
    for bit in range(8 * len(good)):
        flip(path, bit)
        with pytest.raises(DamagedError, match=r"run/config\.toml"):
            read_config(Path("run"))
        path.write_bytes(good)
    assert read_config(Path("run")) == CONFIG


def test_the_config_of_a_resumed_run_survives_a_round_trip() -> None:
    write_config(create("run"), Config())
    assert read_config(Path("run")) == Config()


@pytest.mark.parametrize("version", [1, 7])
def test_a_run_of_another_format_version_is_refused(version: int) -> None:
    create("run")
    change_record(format_version=version)
    assert is_run(Path("run"))
    with pytest.raises(
        CheckpointError, match=f"format version {version}, but jaxrnn .* reads only version 2"
    ) as error:
        read_record(Path("run"))
    one_line(error)


# The logs.


def test_metrics_have_a_column_per_key_and_empty_missing_values() -> None:
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


def test_an_unknown_column_of_metrics_is_refused() -> None:
    create("run")
    with pytest.raises(ValueError, match="loss"):
        append_metrics(Path("run"), {"loss": 1})


def test_samples_are_logged_exactly() -> None:
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
def test_a_deleted_log_is_one_line_and_not_recreated_without_its_header(
    append: Callable[[Path], None],
) -> None:
    run = create("run")
    (run / "metrics.csv").unlink()
    (run / "samples.txt").unlink()
    with pytest.raises(SaveError, match=r"run/.*: can't be written: No such file or directory") as error:
        append(run)
    one_line(error)
    assert not (run / "metrics.csv").exists()


def test_later_log_entries_are_truncated() -> None:
    run = create("run")
    append_metrics(run, {"step": 1, "seconds": 2.5})
    append_sample(run, 1, "é\n--- step 9 ---")
    lengths, before = log_lengths(run), [(run / name).read_bytes() for name in ("metrics.csv", "samples.txt")]
    append_metrics(run, {"step": 2, "seconds": 5})
    append_sample(run, 2, "to be")
    cut_logs(run, lengths)
    assert [(run / name).read_bytes() for name in ("metrics.csv", "samples.txt")] == before


def test_a_deleted_or_shorter_log_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("short")
    cut_logs(tmp_path, {"metrics.csv": 100, "samples.txt": 100})
    assert (tmp_path / "metrics.csv").read_text() == "short"
    assert not (tmp_path / "samples.txt").exists()


def test_only_logs_are_truncated_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("precious")
    cut_logs(tmp_path, {"config.toml": 0, "../other": 0})
    (tmp_path / "samples.txt").symlink_to(tmp_path / "config.toml")
    with pytest.raises(SaveError, match=r"samples\.txt"):
        cut_logs(tmp_path, {"samples.txt": 0})
    assert (tmp_path / "config.toml").read_text() == "precious"


def test_a_copy_of_a_run_works() -> None:
    create("run", 3)
    shutil.copytree("run", "copy")
    shutil.rmtree("run")
    assert find_run("copy") == Path("copy")
    assert read_vocabulary(Path("copy")) == VOCABULARY
    assert int(load_leaves(Path("copy"), "last")["params"][0]) == 3


def test_a_byte_vocabulary_differs_from_one_of_256_characters() -> None:
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
def test_a_bare_destination_is_in_checkpoints_and_a_path_is_used_as_given(to: str, path: str) -> None:
    assert find_destination(to) == Path(path)


def test_an_empty_destination_is_refused() -> None:
    with pytest.raises(CheckpointError, match="--to"):
        find_destination("")
