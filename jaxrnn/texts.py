r"""A text from a file, the same on every system: strict UTF-8 in, `\n` at the end of each line out; or its bytes."""

import re
import stat
from pathlib import Path

from jaxrnn.errors import CorpusError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Control characters, C0, DEL and C1, but a tab and a newline; and the lone surrogates that stand for bytes.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udcff]+")
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ANY_FILE = 'a run with corpus.tokens = "bytes" learns from any file'


def shown(name: str) -> str:
    """A name as a one-line message shows it: as it is, or escaped if it holds a newline or the like."""
    return name if name.isprintable() else repr(name)


def read_bytes(path: Path, name: str) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        CorpusError: if it is missing, not a regular file (a pipe would be waited for, and can't be read again when
            training resumes), or can't be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise CorpusError(f"{name} is a directory: give a text file")
        if not stat.S_ISREG(mode):
            raise CorpusError(f"{name} is not a regular file: save the text in a file first")
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"there is no file {name}: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"can't read {name} ({reason}): check the path and its permissions") from None


def decode_text(data: bytes, name: str) -> str:
    r"""Bytes as text: UTF-8, without a byte order mark, every line ending as `\n`.

    Args:
        data: what a file holds.
        name: what messages call the file.

    Returns:
        The text, of at least two characters (the least that one can learn from: a character and its next).

    Raises:
        CorpusError: if the bytes are binary, another encoding (the first bad byte is given by its offset, counted
            from 0) or fewer than two characters.
    """
    if data.startswith(_UTF_16_MARKS):
        raise CorpusError(f"{name} looks like UTF-16: save it as UTF-8; {_ANY_FILE}")
    if (nul := data.find(b"\0")) >= 0:
        raise CorpusError(
            f"{name} is binary, not text (a NUL byte at offset {nul:,}): give a UTF-8 text file; {_ANY_FILE}"
        )
    mark = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
    try:
        # A view, because a slice would copy the whole file.
        text = str(memoryview(data)[mark:], "utf-8", "strict")
    except UnicodeDecodeError as error:
        offset = mark + error.start
        raise CorpusError(
            f"{name} is not UTF-8: bad byte 0x{data[offset]:02x} at offset {offset:,}: save it as UTF-8; {_ANY_FILE}"
        ) from None
    del data
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < 2:
        found = "has only 1 character" if text else "is empty"
        raise CorpusError(f"{name} {found}: a text needs at least 2")
    return text


def check_bytes(data: bytes, name: str) -> bytes:
    """Bytes as they are, of which there have to be two at least.

    Args:
        data: what a file holds.
        name: what messages call the file.

    Raises:
        CorpusError: if there are fewer.
    """
    if len(data) < 2:
        found = "has only 1 byte" if data else "is empty"
        raise CorpusError(f"{name} {found}: at least 2 are needed")
    return data


def as_bytes(text: str | bytes) -> bytes:
    """A text in UTF-8; bytes as they are."""
    return text if isinstance(text, bytes) else text.encode()


def readable(text: str | bytes) -> str:
    r"""Bytes as text that a reader, an editor and a terminal take for text.

    What is no UTF-8, and control characters but a newline and a tab, are spelled out byte by byte, as in `\xff`. It is
    for the eye: a backslash stays one, so that what was spelled out can't be told from what was written so.

    Args:
        text: bytes, or what `jaxrnn.vocabulary.decode` makes of them.

    Example:
        >>> print(readable(b"caf\xc3\xa9 \xff\x00"))
        café \xff\x00
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return _UNREADABLE.sub(
        lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape")), text
    )
