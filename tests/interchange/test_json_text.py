"""JSON that is not what it should be is refused before it becomes large, and in one line."""

from pathlib import Path

import numpy as np
import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange import json_text
from jaxrnn.interchange.json_text import parse_json, read_file, show, to_array


@pytest.mark.parametrize("data", [b"[" + b"0," * 11, b"[" * 6, b"{" * 6, b'["' + b"," * 11 + b'"]'])
def test_more_values_than_a_model_has_are_counted_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(json_text, "_MOST_VALUES", 10)
    monkeypatch.setattr(json_text, "_MOST_LISTS", 5)
    monkeypatch.setattr("json.loads", None)
    with pytest.raises(InterchangeError, match=r"x\.json: has more than 10 values, or 5 lists"):
        parse_json(data, "x.json")


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"12345")
    assert read_file(path, 5, "a thing") == b"12345"
    with pytest.raises(InterchangeError, match="has more than 4 bytes, the most that a thing may have"):
        read_file(path, 4, "a thing")
    path.unlink()
    with pytest.raises(InterchangeError, match="no such file; give a thing"):
        read_file(path, 4, "a thing")


@pytest.mark.parametrize("nested", [[3], [1.5, -2], [[1], [2], [3]], [[[1.0, 2.0]], [[3.0, 4e-46]]]], ids=str)
def test_numbers_of_any_depth_become_an_array(nested: list) -> None:
    array = to_array(nested, "x")
    assert array.dtype == np.float32
    assert np.array_equal(array, np.array(nested, np.float32))


def test_what_is_shown_is_short_and_can_be_printed() -> None:
    assert show("a\n\u00e9") == r"'a\n\xe9'"
    assert len(show("x" * 1000)) < 70
    assert len(show([[1.5] * 1000] * 1000)) < 70
