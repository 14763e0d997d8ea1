"""Untrusted files are refused in one line before they use much memory."""

from pathlib import Path

import pytest

from jaxrnn.config.fields import FieldError
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange import untrusted
from jaxrnn.interchange.untrusted import about, parse_json, read_json, read_start


@pytest.mark.parametrize("data", [b"[" + b"0," * 11, b"[" * 6, b"{" * 6, b'["' + b"," * 11 + b'"]'])
def test_too_many_values_are_refused_before_parsing(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(untrusted, "_MOST_VALUES", 10)
    monkeypatch.setattr(untrusted, "_MOST_LISTS", 5)
    monkeypatch.setattr("json.loads", None)
    with pytest.raises(InterchangeError, match="has more than 10 values or 5 lists"):
        parse_json(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{]", "not JSON: "),
        (b'{"\xff": 1}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b'{"a": 1, "a": 2}', "not JSON: the key 'a' is given twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON: "),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_invalid_json_is_refused_in_one_line_with_the_file(data: bytes, why: str) -> None:
    with pytest.raises(InterchangeError) as refusal, about("x.json"):
        parse_json(data)
    assert str(refusal.value).startswith(f"x.json: {why}")


@pytest.mark.parametrize("error", [InterchangeError, lambda text: FieldError("size", text)])
def test_an_error_is_one_line_of_bounded_length_with_its_location(error: type[Exception]) -> None:
    with pytest.raises(InterchangeError) as refusal, about("model.json"), about("layer 1"):
        raise error("a\n\x1b[31m" + "x" * 100_000)
    assert str(refusal.value).startswith("model.json: layer 1: ")
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 700


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("12345")
    assert read_start(path, 3) == b"123"
    assert read_json(path, 5) == 12345
    with pytest.raises(InterchangeError, match="has more than 4 bytes, the most that are read"):
        read_json(path, 4)
    with pytest.raises(InterchangeError, match="can't be read: No such file"):
        read_json(path.with_name("gone"), 4)
