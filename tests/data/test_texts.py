import os

import pytest

from jaxrnn.data.texts import as_bytes, check_is_enough, decode_text, read_bytes, readable, shown
from jaxrnn.errors import CorpusError


def refusal(data):
    with pytest.raises(CorpusError) as caught:
        decode_text(data, "t.txt")
    message = str(caught.value)
    assert "t.txt" in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("text", ["ab", "naïve — 日本 😀\n", "\ufeffab", "a\u2028b\x0cc"])
def test_utf8_comes_back_as_the_text_it_is(text):
    assert decode_text(("\ufeff" + text).encode(), "t.txt") == text


def test_one_byte_order_mark_is_dropped_and_only_one():
    assert decode_text(b"\xef\xbb\xbf\xef\xbb\xbfab", "t.txt") == "\ufeffab"


@pytest.mark.parametrize("data", [b"a\nb\n\nc", b"a\r\nb\r\n\r\nc", b"a\rb\r\rc", b"a\r\nb\n\rc"])
def test_every_line_ends_in_a_newline_character(data):
    assert decode_text(data, "t.txt") == "a\nb\n\nc"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_a_bad_byte_is_named_with_its_offset_in_the_file(mark, bad):
    before = mark + "é\r\n".encode()
    assert f"bad byte 0x{bad[0]:02x} at offset {len(before)}" in refusal(before + bad + b" more")


def test_a_character_cut_off_at_the_end_is_a_bad_byte_too():
    assert "bad byte 0xe6 at offset 2" in refusal(b"ab" + "日".encode()[:2])


def test_a_nul_byte_means_a_binary_file():
    assert "binary, not text (a NUL byte at offset 3)" in refusal(b"\x7fEL\0\xff")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognised(encoding):
    assert "looks like UTF-16" in refusal("\ufeffhello".encode(encoding))


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_text_is_refused(data):
    assert "is empty: a text needs at least 2" in refusal(data)


@pytest.mark.parametrize("data", [b"a", "é".encode(), b"\r\n", b"\xef\xbb\xbfa"])
def test_one_character_is_refused(data):
    assert "has only 1 character: a text needs at least 2" in refusal(data)


def test_a_file_is_read_as_bytes(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"a\r\n\xff")
    assert read_bytes(tmp_path / "t.txt", "t.txt") == b"a\r\n\xff"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"there is no file t\.txt"):
        read_bytes(tmp_path / "t.txt", "t.txt")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="texts is a directory"):
        read_bytes(tmp_path, "texts")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="pipe is not a regular file"):
        read_bytes(tmp_path / "pipe", "pipe")


def test_an_unreadable_file_is_refused_with_the_reason(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("secret")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)  # permissions do not hold for root
    with pytest.raises(CorpusError, match=r"can't read t\.txt \(Permission denied\)"):
        read_bytes(path, "t.txt")


def test_a_name_is_shown_as_it_is_unless_it_would_break_the_line():
    assert shown("my text — 2.txt") == "my text — 2.txt"
    assert shown("a\nb") == r"'a\nb'"


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b"\xff", "has only 1 byte")])
def test_bytes_to_learn_from_are_two_at_least(data: bytes, words: str) -> None:
    assert check_is_enough(b"\0\r", "f") == b"\0\r"
    with pytest.raises(CorpusError, match=f"^f {words}"):
        check_is_enough(data, "f")


def test_a_text_has_its_bytes_in_utf_8_and_bytes_are_theirs() -> None:
    assert (as_bytes("é\r"), as_bytes(b"\xff")) == (b"\xc3\xa9\r", b"\xff")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"caf\xc3\xa9\n\t!", "café\n\t!"),
        (b"\xe2\x82", r"\xe2\x82"),  # cut short
        (b"\xff\0\r\x1b[1m\x7f", r"\xff\x00\x0d\x1b[1m\x7f"),
        (b"\xc2\x9b", r"\xc2\x9b"),  # a control character beyond ASCII
        (b"\\xff", r"\xff"),
    ],
)
def test_bytes_are_made_readable(data: bytes, shown: str) -> None:
    assert readable(data) == readable(data.decode("utf-8", "surrogateescape")) == shown
