"""Reading files as text: encodings, line ends, and pieces that do not split characters."""

import bz2
import codecs
import gzip
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxrnn.data import texts
from jaxrnn.data.texts import as_bytes, read_pieces, readable, shown
from jaxrnn.errors import CorpusError


@pytest.fixture(params=[5, 7, 1 << 21])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The size of a piece, shorter and longer than the files."""
    monkeypatch.setattr(texts, "_PIECE", request.param)
    return int(request.param)


def decode(data: bytes) -> str:
    Path("t.txt").write_bytes(data)
    return "".join(text for text, _ in read_pieces(Path("t.txt"), "t.txt", is_text=True))  # type: ignore[misc]


def refusal(data: bytes) -> str:
    with pytest.raises(CorpusError, match=r"^t\.txt ") as caught:
        decode(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("text", ["", "a", "ab", "naïve — 日本 😀\n", "\ufeffab", "a\u2028b\x0cc"])
def test_utf8_is_read_without_its_byte_order_mark(text: str) -> None:
    assert decode(codecs.BOM_UTF8 + text.encode()) == text
    if not text.startswith("\ufeff"):
        assert decode(text.encode()) == text


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("data", [b"a\nb\n\nc", b"a\r\nb\r\n\r\nc", b"a\rb\r\rc", b"a\r\nb\n\rc"])
def test_all_line_ends_become_newlines(data: bytes) -> None:
    assert decode(data) == "a\nb\n\nc"
    assert decode(data + b"\r") == "a\nb\n\nc\n"


def test_pieces_have_whole_characters_and_their_end_offsets(piece: int) -> None:
    rng = random.Random(piece)
    for _ in range(40):
        parts = ["a", "é", "€", "😀", "\r", "\n", "\r\n", "\ufeff"]
        data = "".join(rng.choices(parts, k=rng.randint(0, 40))).encode()
        Path("t.txt").write_bytes(data)
        read = list(read_pieces(Path("t.txt"), "t.txt", is_text=True))
        whole = data.removeprefix(codecs.BOM_UTF8).decode().replace("\r\n", "\n").replace("\r", "\n")
        assert "".join(text for text, _ in read) == whole  # type: ignore[misc]
        assert [end for _, end in read] == [*range(piece, len(data), piece), *[len(data)] * (1 + bool(data))]
        raw = list(read_pieces(Path("t.txt"), "t.txt", is_text=False))
        assert b"".join(part for part, _ in raw) == data  # type: ignore[misc]


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_an_invalid_byte_is_named_with_its_offset(mark: bytes, bad: bytes) -> None:
    before = mark + "é\r\n日".encode()
    assert f"bad byte 0x{bad[0]:02x} at offset {len(before)}" in refusal(before + bad + b" more")


@pytest.mark.usefixtures("piece")
def test_a_truncated_character_at_the_end_is_invalid() -> None:
    assert "bad byte 0xe6 at offset 9" in refusal(b"ab and so" + "日".encode()[:2])


@pytest.mark.usefixtures("piece")
def test_a_nul_byte_means_a_binary_file() -> None:
    assert "binary, not text (a NUL byte at offset 8)" in refusal(b"\x7fELFabcd\0\xff")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognized(encoding: str) -> None:
    assert "looks like UTF-16" in refusal("\ufeffhello".encode(encoding))


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig"])
def test_other_encodings_are_read(encoding: str) -> None:
    text = "naïve\r\nöäü\r" * 20
    Path("t.txt").write_bytes(text.encode(encoding))
    pieces = read_pieces(Path("t.txt"), "t.txt", is_text=True, encoding=encoding)
    assert "".join(str(piece) for piece, _ in pieces) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_a_byte_outside_the_encoding_is_named() -> None:
    Path("t.txt").write_bytes(b"caf\x81")
    with pytest.raises(CorpusError, match=r"is not cp1252: bad byte 0x81 at offset 3: set corpus\.encoding"):
        list(read_pieces(Path("t.txt"), "t.txt", is_text=True, encoding="cp1252"))
    assert 'looks like UTF-16: set corpus.encoding to "utf-16"' in refusal("é".encode("utf-16"))


def test_an_unreadable_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"can't read t\.txt \(Is a directory\)"):
        list(read_pieces(tmp_path, "t.txt", is_text=True))


def test_a_name_is_escaped_only_if_it_would_break_the_line() -> None:
    assert shown("my text — 2.txt") == "my text — 2.txt"
    assert shown("a\nb") == r"'a\nb'"


def test_the_bytes_of_a_text_are_its_utf_8() -> None:
    assert (as_bytes("é\r\udcff"), as_bytes(b"\xff")) == (b"\xc3\xa9\r\xff", b"\xff")
    assert os.fsdecode(as_bytes("\udcff")) == "\udcff"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"caf\xc3\xa9\n\t!", "café\n\t!"),
        (b"\xe2\x82", r"\xe2\x82"),  # truncated
        (b"\xff\0\r\x1b[1m\x7f", r"\xff\x00\x0d\x1b[1m\x7f"),
        (b"\xc2\x9b", r"\xc2\x9b"),  # a control character beyond ASCII
        (b"\\xff", r"\xff"),
        ("\x1b: text", "\x1b: text"),
    ],
)
def test_bytes_are_made_readable_and_text_is_unchanged(data: bytes | str, shown: str) -> None:
    assert readable(data) == shown


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read_decompressed(compress: Callable[[bytes], bytes]) -> None:
    data = compress("naïve — 日本\r\n".encode() * 3)
    assert decode(data) == "naïve — 日本\n" * 3
    read = list(read_pieces(Path("t.txt"), "t.txt", is_text=False))
    assert b"".join(part for part, _ in read) == "naïve — 日本\r\n".encode() * 3  # type: ignore[misc]
    assert all(end <= len(data) for _, end in read)
    for damaged in (data[: len(data) // 2], data[:10] + b"garbage" + data[17:]):
        assert "can't be decompressed" in refusal(damaged)


@pytest.mark.parametrize(("mark", "words"), [(b"PK\x03\x04", "zip archive"), (b"\x28\xb5\x2f\xfd", "zstd")])
def test_archives_are_refused_by_name(mark: bytes, words: str) -> None:
    message = refusal(mark + bytes(100))
    assert words in message and "corpus.tokens" not in message


def test_a_file_in_another_encoding_is_refused_by_name() -> None:
    for encoding in ("UTF-16", "UTF-32"):
        for data in ("abc".encode(encoding), "\ufeffabc".encode(f"{encoding}-be")):
            assert f"looks like {encoding}:" in refusal(data)
