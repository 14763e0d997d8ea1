"""Detection of formats, imported runs, and truncated or corrupt files."""

import json
import os
import random
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.config import GRUConfig
from jaxrnn.data.vocabulary import Vocabulary, byte_vocabulary, with_separator
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.importing import create_imported_run, read_model, recognize
from jaxrnn.interchange.safetensors_file import write_safetensors
from jaxrnn.runs.directory import read_config, read_record
from jaxrnn.runs.loading import load
from tests.interchange.stacks import STACKS, drawn
from tests.interchange.test_original import SMALL, dump

pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return write_safetensors(drawn(STACKS["gru"]), tmp_path / "model.safetensors")[0]


def refusal(path: Path) -> str:
    with pytest.raises(InterchangeError) as refused:
        read_model(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_format_is_detected_from_the_content(tmp_path: Path, exported: Path) -> None:
    misnamed = tmp_path / "model.txt"
    misnamed.write_bytes(exported.read_bytes())
    assert recognize(misnamed) == "safetensors"
    misnamed.write_bytes(b" \n" + dump(SMALL))
    assert recognize(misnamed) == "original"
    assert [layer.type for layer in read_model(misnamed).config.layers] == ["embedding", "lstm", "dense"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"hello, world", "neither a safetensors file nor JSON"),
        (b"\x08\x08\x12\x06jaxrnn\x1a\x05", "of a program, such as .onnx"),
        (b"\x80\x02}q\x00.", "could run any code"),
        (b"\x00" * 20, "corrupt one: "),
        (b"[", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"\xff" * 8 + b"{", "its header would have 18,446,744,073,709,551,615 bytes"),
    ],
)
def test_a_file_without_a_model_is_refused_in_one_line(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    assert refusal(path).startswith(f"{path}: ")
    assert why in refusal(path)


def test_a_path_that_is_not_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone")
    assert "a directory" in refusal(tmp_path)
    assert "no such file" in refusal(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe")
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("data.pkl", b"cos\nsystem\n(S'echo'\ntR.")
    assert "could run any code" in refusal(tmp_path / "model.pt")


def test_metadata_takes_precedence_over_the_json_file_and_either_is_enough(
    exported: Path,
) -> None:
    beside = exported.with_suffix(".json")
    wanted = read_model(exported)
    description = beside.read_text()
    beside.write_text('{"characters": "ab"}')
    assert str(read_model(exported)) == str(wanted)
    rewrite(exported, None)  # as PyTorch saves it
    beside.write_text(description)
    assert str(read_model(exported)) == str(wanted)


def rewrite(path: Path, metadata: dict | None, **tensors: np.ndarray) -> None:
    from safetensors.numpy import load_file, save_file

    save_file(load_file(path) | tensors, path, metadata)


def test_parameters_that_are_not_finite_are_refused(exported: Path) -> None:
    metadata = {"jaxrnn": exported.with_suffix(".json").read_text()}
    for number in (np.nan, np.inf, -np.inf, 1e300):
        rewrite(exported, metadata, **{"layers.1.bias_hh_l0": np.full(12, number)})
        assert "'layers.1.bias_hh_l0' has numbers that are not finite in float32" in refusal(exported)


DESCRIPTIONS: list[tuple[object, str]] = [
    ([1], "must be an object"),
    ({}, 'has no "characters"'),
    ({"vocabulary": 5}, 'has no "characters"'),
    ({"characters": 5}, "must be a string, a list"),
    ({"characters": "ab"}, "layers.0 has 11 rows, but there are 2 characters"),
    ({"format": "jaxrnn model", "format_version": 2}, "format version 2, written by jaxrnn None; this version knows 1"),
    ({"characters": "ab", "layers": 5}, "model.layers = 5"),
    ({"characters": "ab", "separator": 5}, "its separator, 5, is not one of its characters"),
    ({"characters": "ab", "separator": "ab"}, "its separator, 'ab', is not one of its characters"),
    ({"tokens": "bytes", "separator": "\u00ff"}, "its separator, 'ÿ', is a byte that no config can name"),
    ({"characters": "ab", "tokens": "words"}, "its tokens are 'words', neither characters nor bytes"),
    ({"characters": "ab", "tokens": "bytes"}, "its tokens are bytes, but its characters are not U+0000 to U+00FF"),
    ({"tokens": "bytes"}, "layers.0 has 11 rows, but there are 256 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "why"), DESCRIPTIONS)
def test_an_invalid_description_is_refused_in_one_line(exported: Path, about: object, why: str) -> None:
    rewrite(exported, None)
    exported.with_suffix(".json").write_text(json.dumps(about))
    assert why in refusal(exported)
    rewrite(exported, {"jaxrnn": json.dumps(about)})
    exported.with_suffix(".json").unlink()
    assert why in refusal(exported)


def test_a_missing_description_is_refused_with_its_format(exported: Path) -> None:
    rewrite(exported, None)
    exported.with_suffix(".json").unlink()
    assert f'{exported.with_suffix(".json")}: no such file; give one with {{"characters"' in refusal(exported)


def is_refused_or_read(path: Path, data: bytes) -> bool:
    """Return whether a file is refused with an `InterchangeError`; other errors propagate."""
    path.write_bytes(data)
    try:
        found = read_model(path)
    except InterchangeError as error:
        assert "\n" not in str(error)
        return True
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.params))
    return False


@pytest.mark.parametrize("kind", ["safetensors", "original"])
def test_files_truncated_or_changed_anywhere(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(drawn((GRUConfig(size=1),)), path)
    data = path.read_bytes() if kind == "safetensors" else dump(SMALL)
    assert not is_refused_or_read(path, data)
    rng = random.Random(0)
    for length in {*range(0, len(data), max(1, len(data) // 150)), len(data) - 1}:
        assert is_refused_or_read(path, data[:length])
    assert is_refused_or_read(path, data + b"x")
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 3])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        refused += is_refused_or_read(path, bytes(changed))
    assert 30 < refused < 300  # some flips only change a number


def test_an_imported_run_records_its_source(tmp_path: Path, exported: Path) -> None:
    imported = read_model(exported)
    run = tmp_path / "run"
    create_imported_run(run, imported, exported)
    loaded = load(run)
    trained = drawn(STACKS["gru"])
    assert loaded._replace(params=(), name="") == trained._replace(params=(), name="")
    for ours, theirs in zip(jax.tree.leaves(loaded.params), jax.tree.leaves(trained.params), strict=True):
        assert np.array_equal(ours, theirs)
    record = read_record(run)
    assert (record.imported_from, record.corpus_path, record.corpus_sha256) == (exported.name, "", "")
    assert len(record.imported_sha256) == 64
    assert read_config(run).corpus.text == record.corpus == "(none: imported from model.safetensors)"


def test_a_separator_may_be_empty_as_in_a_config(exported: Path) -> None:
    about = json.loads(exported.with_suffix(".json").read_text())
    rewrite(exported, {"jaxrnn": json.dumps(about | {"separator": ""})})
    assert read_model(exported).vocabulary.separator == ""


@pytest.mark.parametrize("tokens", ["characters", "bytes"])
def test_tokens_and_separators_survive_a_round_trip(tmp_path: Path, tokens: str) -> None:
    vocabulary = Vocabulary("\nabc") if tokens == "characters" else byte_vocabulary()
    trained = drawn(STACKS["gru"], vocabulary=with_separator(vocabulary, "\n"))
    path, _ = write_safetensors(trained, tmp_path / "model.safetensors")
    create_imported_run(tmp_path / "run", read_model(path), path)
    loaded = load(tmp_path / "run")
    assert loaded._replace(params=(), name="") == trained._replace(params=(), name="")
    assert read_config(tmp_path / "run").corpus.separator == "\n"
