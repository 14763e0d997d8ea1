"""Headers of safetensors files that lie: each is refused while only the header was read."""

import json
import struct
from pathlib import Path

import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.safetensors_header import MOST_BYTES, read_header

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


def test_a_good_header_says_shapes_and_metadata(file: Path) -> None:
    header = read_header(write(file, GOOD))
    assert header.shapes == {"a": (2, 3), "b": (2,)}
    assert header.metadata == {"who": "me"}
    assert read_header(write(file, json.dumps(GOOD).encode() + b"    ")) == header  # padding is usual


def changed(entry: dict, **values: object) -> dict:
    return {**GOOD, "b": {**entry, **values}}


BAD: dict[str, tuple[object, str]] = {
    "no JSON": (b"{]", "not JSON"),
    "not UTF-8": (b'{"\xff": 1}', "is not UTF-8"),
    "no object": ([1], "is no JSON object"),
    "a key twice": (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
    "NaN": (b'{"a": NaN}', "NaN is no number"),
    "nested deeply": (b"[" * 100_000, "nested too deeply"),
    "an integer of thousands of digits": (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    "nothing": ({}, "has 0 tensors"),
    "too many tensors": ({str(n): 0 for n in range(10_001)}, "has 10,001 tensors"),
    "a long name": ({"n" * 257: A}, "whose name has 257 characters"),
    "an empty name": ({"": A}, "whose name has 0 characters"),
    "metadata of numbers": ({**GOOD, "__metadata__": {"a": 1}}, "__metadata__ is no map of texts"),
    "no entry": ({**GOOD, "b": 5}, "'b' has not just dtype"),
    "another key": (changed(B, code="x"), "has not just dtype"),
    "integers": (changed(B, dtype="I16"), "is of type 'I16'"),
    "a type of lists": (changed(B, dtype=[1]), "is of type"),
    "a negative size": (changed(B, shape=[-2]), "that can't be"),
    "a size that is true": (changed(B, shape=[True, 2]), "that can't be"),
    "a size of 2^60": (changed(B, shape=[2**60]), "that can't be"),
    "many axes": (changed(B, shape=[1] * 9), "that can't be"),
    "too few bytes": (changed(B, shape=[3]), "4 bytes, which do not make F16 of shape"),
    "sizes whose product would overflow": (changed(B, shape=[2**47, 2**47, 2**47]), "do not make F16"),
    "one offset": (changed(B, data_offsets=[24]), "that can't be"),
    "offsets the wrong way": (changed(B, data_offsets=[28, 24]), "-4 bytes"),
    "an overlap": (changed(B, data_offsets=[20, 24]), "overlap or leave gaps"),
    "a gap": (changed(B, data_offsets=[26, 30]), "overlap or leave gaps"),
    "an offset after the end": ({"a": {**A, "shape": [2**40], "data_offsets": [0, 2**42]}}, "has .* numbers; at most"),
    "data after the last": ({"a": A}, "28 bytes follow its header, not 24"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_header_that_lies_is_refused_in_one_line(file: Path, case: str) -> None:
    header, why = BAD[case]
    with pytest.raises(InterchangeError, match=why) as refusal:
        read_header(write(file, header))
    assert str(refusal.value).startswith(f"{file}: ")
    assert "\n" not in str(refusal.value)


def test_sizes_and_lengths_that_the_file_does_not_have(file: Path) -> None:
    file.write_bytes(b"1234567")
    with pytest.raises(InterchangeError, match="it has 7 bytes"):
        read_header(file)
    file.write_bytes(struct.pack("<Q", MOST_BYTES + 1) + b"{")
    with pytest.raises(InterchangeError, match="its header would have 8,000,001 bytes"):
        read_header(file)
    file.write_bytes(struct.pack("<Q", 2**64 - 1) + b"{")
    with pytest.raises(InterchangeError, match="its header would have"):
        read_header(file)
    file.write_bytes(struct.pack("<Q", 1000) + b"{}")
    with pytest.raises(InterchangeError, match="cut short"):
        read_header(file)
    with pytest.raises(InterchangeError, match="cut short: 27 bytes follow its header, not 28"):
        read_header(write(file, GOOD, data=27))
