"""Reading and writing TOML, and its one-line errors."""

import errno
import os
import random
import tomllib
from pathlib import Path

import pytest

from jaxrnn.config.toml import (
    MAX_BYTES,
    format_toml,
    parse_toml,
    parse_value,
    printable,
    read_text,
    toml_string,
)
from jaxrnn.errors import ConfigError

ODD_STRINGS = [
    "",
    '"',
    "'",
    '"""',
    "\\",
    "\\n",
    "a\nb\r\nc\rd",
    "\t\b\f\v\0\x1b\x7f\x85\u2028\u2029\ufeff\u200b",
    "[/x] # = é ß 日本 🎭",
    "\ud7ff\ue000\uffff\U0010ffff",
    "".join(map(chr, range(0x300))),
]


@pytest.mark.parametrize("text", ODD_STRINGS)
def test_any_string_survives_a_round_trip_on_one_line(text):
    written = toml_string(text)
    assert written.isprintable()
    assert tomllib.loads(f"x = {written}") == {"x": text}


def test_numbers_survive_a_round_trip():
    generator = random.Random(0)
    numbers = [0.1, 1e-5, 1e22, 5e-324, 1.7e308, 1.0, 0, -3, 2**31 - 1]
    numbers += [generator.uniform(0, 1) * 10 ** generator.randint(-30, 30) for _ in range(200)]
    for number in numbers:
        back = tomllib.loads(format_toml({"a": {"x": number}}))["a"]["x"]
        assert (back, type(back)) == (number, type(number))


def test_tables_are_written_readably():
    text = format_toml({"a": {"x": True}, "b": {"list": [{"k": "v"}, {"k": 2.5}]}})
    assert text == '[a]\nx = true\n\n[b]\nlist = [\n  { k = "v" },\n  { k = 2.5 },\n]\n'


def test_values_that_toml_lacks_are_refused():
    with pytest.raises(TypeError, match="bytes"):
        format_toml({"a": {"x": b""}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "x.toml: not valid TOML: .*line 2"),
        ("a = 1\na = 2\n# end", "x.toml: not valid TOML: a key is given twice .*line 2"),
        ("a = 1\n[b", "x.toml: not valid TOML: .*line 2, the end"),
        ("[a]\n[a]\n", "x.toml: not valid TOML: .*twice .*line 2"),
        ('a = "\x01"', "x.toml: not valid TOML: .*line 1"),
        ("a = 1\nb = " + "9" * 5000, r"x.toml: a number has too many digits \(at line 2\)"),
        ("a = " + "[" * 100_000, "x.toml: .* nested too deeply"),
        ("a = " + "{a=" * 100_000, "x.toml: .* nested too deeply"),
        ("a." * 100_000 + "a = 1", "x.toml: .* nested too deeply"),
        ("[" + "a." * 100_000 + "a]", "x.toml: .* nested too deeply"),
        ("#" * (MAX_BYTES + 1), "x.toml: is longer than 1000000 characters"),
    ],
    ids=lambda value: value[:12],
)
def test_invalid_toml_is_refused_in_one_line(text, message):
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        parse_toml(text, "x.toml")
    assert str(caught.value).isprintable()


def test_many_dots_in_a_string_are_accepted():
    seed = "." * 3000 + "a." * 3000
    assert parse_toml(f"a = {toml_string(seed)}", "x") == {"a": seed}


@pytest.mark.parametrize("text", ["1\nb = 2", "", "[", "ROMEO"])
def test_only_a_single_value_is_parsed(text):
    with pytest.raises(ConfigError):
        parse_value(text)


def test_a_file_is_read_as_utf8_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.toml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + "a = 'é'".encode())
        assert read_text(path) == "a = 'é'"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_invalid_utf8_byte_is_named_by_its_offset(tmp_path, mark):
    path = tmp_path / "a.toml"
    path.write_bytes(mark + b"a = 1\nb = '\xe9'\n")
    with pytest.raises(
        ConfigError, match=rf"a\.toml: byte 0xe9 at offset {11 + len(mark)} \(line 2\) is not UTF-8"
    ):
        read_text(path)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read_text(path)) == MAX_BYTES
    with path.open("ab") as file:
        file.truncate(10**12)  # sparse, too large to read
    with pytest.raises(ConfigError, match=r"a\.toml: has more than 1000000 bytes"):
        read_text(path)


def test_a_missing_file_is_refused_with_similar_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "shakespeare.toml").touch()
    (tmp_path / "mine.toml").touch()
    (tmp_path / "broken.toml").symlink_to("nowhere")
    for given, meant in [
        ("configs/shakespear.toml", "configs/shakespeare.toml"),
        ("configs/shakespeare", "configs/shakespeare.toml"),
        ("shakespeare.toml", "configs/shakespeare.toml"),
        ("mine.tml", "mine.toml"),
    ]:
        with pytest.raises(ConfigError, match=rf"^{given}: no such file; did you mean {meant}\?$"):
            read_text(Path(given))
    for given in ("zzz.toml", "broken.toml", "no/where.toml", "no/.."):
        with pytest.raises(ConfigError, match=rf"^{given}: no such file$"):
            read_text(Path(given))


def test_a_path_that_is_not_a_file_is_refused_by_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r": is a directory"):
        read_text(tmp_path)
    with pytest.raises(ConfigError, match=r"file/a\.toml: can't be read \(Not a directory\)"):
        read_text(tmp_path / "file" / "a.toml")
    with pytest.raises(ConfigError, match=r": can't be read \(File name too long\)"):
        read_text(tmp_path / ("a" * 1000))
    with pytest.raises(ConfigError, match=r"a\\u0000b: not a file name"):
        read_text(tmp_path / "a\0b")


def test_an_unreadable_file_is_refused_by_name(tmp_path, monkeypatch):
    def refuse(path, _mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)  # root can read files of mode 0

    monkeypatch.setattr(Path, "open", refuse)
    path = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match=r"a\.toml: can't be read \(Permission denied\)"):
        read_text(path)


def test_any_name_is_shown_on_one_line():
    assert printable("a b\n\x1b[31m\udcff é") == "a b\\u000a\\u001b[31m\\udcff é"
