"""Corrupt and hostile safetensors files are refused after reading the header only."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.safetensors_file import open_safetensors

pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")

A = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
B = {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]}
GOOD = {"__metadata__": {"who": "me"}, "a": A, "b": B}


def write(path: Path, header: object, data: int = 28) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_shapes_metadata_and_tensors_are_read(file: Path) -> None:
    opened = open_safetensors(write(file, GOOD))
    assert opened.shapes == {"a": (2, 3), "b": (2,)}
    assert opened.metadata == {"who": "me"}
    assert np.array_equal(opened.read("b"), np.zeros(2, np.float32))
    assert open_safetensors(write(file, {"a": A}, data=24)).metadata == {}


def changed(**values: object) -> dict:
    return {**GOOD, "b": {**B, **values}}


# The safetensors package checks these.
CORRUPT: dict[str, object] = {
    "no JSON": b"{]",
    "nested deeply": b'{"a":' * 100_000,
    "nothing": {},
    "metadata of numbers": {**GOOD, "__metadata__": {"a": 1}},
    "an unknown type": changed(dtype="a\nb" * 1000),
    "too few bytes": changed(shape=[3]),
    "sizes whose product would overflow": changed(shape=[2**47, 2**47, 2**47]),
    "offsets the wrong way": changed(data_offsets=[28, 24]),
    "an overlap": changed(data_offsets=[20, 24]),
    "a gap": changed(data_offsets=[26, 30]),
    "an offset after the end": {"a": {**A, "shape": [2**40], "data_offsets": [0, 2**42]}},
    "data after the last": {"a": A},
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_header_is_refused(file: Path, case: str) -> None:
    with pytest.raises(InterchangeError, match="not a safetensors file, or a corrupt one: "):
        open_safetensors(write(file, CORRUPT[case]))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "corrupt one: .*header"),
        (b"1234567", "its header would have"),
        (struct.pack("<Q", 1000) + b"{}", "corrupt one: .*header"),
        (struct.pack("<Q", 8_000_001) + b"{", "its header would have 8,000,001 bytes; at most 8,000,000"),
        (struct.pack("<Q", 2**64 - 1) + b"{", "its header would have 18,446,744,073,709,551,615 bytes"),
    ],
)
def test_a_header_larger_than_the_file_is_refused(file: Path, data: bytes, why: str) -> None:
    file.write_bytes(data)
    with pytest.raises(InterchangeError, match=why):
        open_safetensors(file)


@pytest.mark.parametrize("dtype", ["I16", "F8_E4M3", "C64", "BOOL"])
def test_a_type_that_weights_can_not_have_is_refused(file: Path, dtype: str) -> None:
    sizes = {"C64": 8, "I16": 2}
    entry = {"dtype": dtype, "shape": [1], "data_offsets": [0, sizes.get(dtype, 1)]}
    with pytest.raises(InterchangeError, match=f"'x' is of type {dtype}; only F32, F64, F16, BF16 can be"):
        open_safetensors(write(file, {"x": entry}, data=sizes.get(dtype, 1)))


def test_a_sparse_file_larger_than_memory_is_refused_unread(file: Path) -> None:
    write(file, {"x": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}, data=0)
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size + 2**42)
    with pytest.raises(InterchangeError, match="has 1,099,511,627,776 numbers; at most 1,073,741,824"):
        open_safetensors(file)
