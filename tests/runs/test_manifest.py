"""The manifest: what it says is what was saved, and whatever disagrees with it is named in one line."""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.errors import CheckpointError
from jaxrnn.runs.manifest import (
    Manifest,
    check_fit,
    describe,
    hash_files,
    read_manifest,
    val_loss_if_readable,
    verify_files,
    verify_leaves,
    write_manifest,
)


def make_leaves() -> dict[str, Any]:
    return {
        "params.0.w": np.arange(35, dtype=np.float32).reshape(5, 7),
        "params.0.b": np.zeros(3, jnp.bfloat16),
        "step": np.array(3, np.int32),
    }


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """A folder of files, as a writer of arrays might leave it."""
    (tmp_path / "arrays" / "deeper").mkdir(parents=True)
    (tmp_path / "arrays" / "a").write_bytes(b"1234")
    (tmp_path / "arrays" / "deeper" / "empty").touch()
    return tmp_path / "arrays"


@pytest.fixture
def manifest(arrays: Path) -> Manifest:
    return describe(3, 1.5, make_leaves())._replace(files=hash_files(arrays))


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    """The manifest as a file: of step 3, in the folder `tmp_path` of checkpoints."""
    (tmp_path / "3").mkdir()
    write_manifest(tmp_path / "3", manifest)
    return tmp_path / "3" / "checkpoint.json"


# What is written is read.


def test_a_manifest_comes_back_as_it_was(tmp_path: Path, manifest: Manifest, path: Path) -> None:
    assert path.exists()
    assert read_manifest(tmp_path, 3) == manifest


def test_a_manifest_says_what_the_arrays_are_like(manifest: Manifest) -> None:
    described = {name: (leaf.shape, leaf.dtype) for name, leaf in manifest.leaves.items()}
    assert described == {
        "params.0.w": ((5, 7), "float32"),
        "params.0.b": ((3,), "bfloat16"),
        "step": ((), "int32"),
    }


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_no_loss(loss: float) -> None:
    assert describe(1, loss, {}).val_loss is None


def test_the_loss_of_a_checkpoint_that_can_not_be_read_is_not_known(tmp_path: Path, path: Path) -> None:
    assert val_loss_if_readable(tmp_path, 3) == 1.5
    path.unlink()
    assert val_loss_if_readable(tmp_path, 3) is None


# A manifest that is damaged.


def test_a_change_of_any_byte_is_found(tmp_path: Path, path: Path) -> None:
    good = path.read_bytes()
    content = json.loads(good)
    for index in range(len(good)):
        bad = bytearray(good)
        bad[index] ^= 1
        try:
            same = json.loads(bytes(bad)) == content
        except ValueError:
            same = False
        if same:
            continue  # white space, or the letter case of an escape: nothing is said differently
        path.write_bytes(bad)
        with pytest.raises(CheckpointError) as error:
            read_manifest(tmp_path, 3)
        assert one_line(error).startswith(str(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        '{"format_version": 1}',
        '{"format_version": "1"}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match="damaged checkpoint") as error:
        read_manifest(tmp_path, 3)
    assert one_line(error).startswith(str(path))


def test_a_manifest_that_is_missing_is_named(tmp_path: Path, path: Path) -> None:
    path.unlink()
    with pytest.raises(CheckpointError, match="the file is missing") as error:
        read_manifest(tmp_path, 3)
    assert one_line(error).startswith(str(path))


def test_a_manifest_of_another_step_is_refused(tmp_path: Path, path: Path) -> None:
    path.parent.rename(tmp_path / "4")
    with pytest.raises(CheckpointError, match="does not match"):
        read_manifest(tmp_path, 4)


def test_a_manifest_of_a_newer_format_is_refused_in_words(tmp_path: Path, path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(CheckpointError, match=r"format version 99.*update jaxrnn") as error:
        read_manifest(tmp_path, 3)
    one_line(error)


# What must agree with it.


def test_leaves_that_were_described_fit(manifest: Manifest) -> None:
    check_fit(Path("3"), manifest.leaves, make_leaves())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"params.0.w": np.zeros((6, 7), np.float32)},
            "params.0.w is float32[5, 7], but float32[6, 7] is asked for",
        ),
        ({"step": np.array(1.0, np.float32)}, "step is int32[], but float32[] is asked for"),
        ({"step": None}, "it has step, which is not in this model"),
        ({"carry.2": np.zeros(1)}, "it has no carry.2"),
    ],
)
def test_leaves_of_another_shape_are_refused_by_name(
    manifest: Manifest, change: dict[str, Any], words: str
) -> None:
    wanted = {name: leaf for name, leaf in {**make_leaves(), **change}.items() if leaf is not None}
    with pytest.raises(CheckpointError) as error:
        check_fit(Path("steps/3"), manifest.leaves, wanted)
    assert one_line(error) == f"steps/3: does not fit: {words}"


def test_files_that_are_as_they_were_agree(arrays: Path, manifest: Manifest) -> None:
    assert manifest.files.keys() == {"a", "deeper/empty"}
    verify_files(arrays, manifest)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a", b"1235"), ("a", b""), ("a", None), ("deeper/empty", b"1"), ("deeper/empty", None)],
)
def test_a_file_that_is_missing_or_changed_is_named(
    arrays: Path, manifest: Manifest, name: str, content: bytes | None
) -> None:
    path = arrays / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged checkpoint") as error:
        verify_files(arrays, manifest)
    assert one_line(error).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["params.0.w", "params.0.b", "step"])
def test_a_leaf_that_differs_in_one_bit_is_named(manifest: Manifest, name: str) -> None:
    leaves = make_leaves()
    verify_leaves(Path("3"), manifest, leaves)
    leaves[name].reshape(-1).view(np.uint8)[0] ^= 1
    with pytest.raises(CheckpointError) as error:
        verify_leaves(Path("3"), manifest, leaves)
    assert one_line(error) == f"3: damaged checkpoint: the checksum of {name} does not match"
