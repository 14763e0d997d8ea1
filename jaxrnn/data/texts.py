r"""A text from a file, the same on every system: strict UTF-8 in, `\n` at the end of each line out; or its bytes."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from jaxrnn.config import Texts
from jaxrnn.errors import CorpusError

_Text = TypeVar("_Text", str, bytes)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Control characters, C0, DEL and C1, but a tab and a newline; and the lone surrogates that stand for bytes.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udcff]+")
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ANY_FILE = 'a run with corpus.tokens = "bytes" learns from any file'


def shown(name: str) -> str:
    """A name as a one-line message shows it: as it is, or escaped if it holds a newline or the like."""
    return name if name.isprintable() else repr(name)


def several(names: Texts) -> str:
    """One name as it is; of several, the first three at most and how many others."""
    if isinstance(names, str):
        return names
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


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
    return check_is_enough(decode_part(data, name), name)


def check_is_enough(text: _Text, name: str) -> _Text:
    """The text, if it has the least that one can learn from: two characters, or two bytes.

    Raises:
        CorpusError: it has fewer.
    """
    if isinstance(text, bytes):
        return check_bytes(text, name)
    if len(text) < 2:
        found = "has only 1 character" if text else "is empty"
        raise CorpusError(f"{name} {found}: a text needs at least 2")
    return text


def decode_part(data: bytes, name: str, start: int = 0) -> str:
    r"""What `decode_text` does, for a part of a text: it may be empty.

    Args:
        data: what a file holds from `start` on.
        name: what messages call the file.
        start: its offset in the file; a byte order mark only stands at 0.

    Raises:
        CorpusError: if the bytes are binary or another encoding.
    """
    if start == 0 and data.startswith(_UTF_16_MARKS):
        raise CorpusError(f"{name} looks like UTF-16: save it as UTF-8; {_ANY_FILE}")
    if (nul := data.find(b"\0")) >= 0:
        raise CorpusError(
            f"{name} is binary, not text (a NUL byte at offset {start + nul:,}): "
            f"give a UTF-8 text file; {_ANY_FILE}"
        )
    mark = len(_BYTE_ORDER_MARK) if start == 0 and data.startswith(_BYTE_ORDER_MARK) else 0
    try:
        # A view, because a slice would copy the whole file.
        text = str(memoryview(data)[mark:], "utf-8", "strict")
    except UnicodeDecodeError as error:
        offset = mark + error.start
        raise CorpusError(
            f"{name} is not UTF-8: bad byte 0x{data[offset]:02x} at offset {start + offset:,}: save it as UTF-8; "
            f"{_ANY_FILE}"
        ) from None
    del data
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def join_parts(parts: Iterable[_Text], separator: _Text) -> _Text:
    """One text of several, with a separator between two where the first does not end in it; an empty one is none."""
    joined: list[_Text] = []
    for part in filter(None, parts):
        if joined and not joined[-1].endswith(separator):
            joined.append(separator)
        joined.append(part)
    return separator[:0].join(joined)


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


def separating_bytes(separator: str) -> bytes:
    """A separator as the files of a text have it: in UTF-8, or the byte that a lone surrogate stands for."""
    return separator.encode("utf-8", "surrogateescape")


def as_bytes(text: str | bytes) -> bytes:
    """A text in UTF-8; bytes as they are."""
    return text if isinstance(text, bytes) else text.encode()


def readable(text: str | bytes) -> str:
    r"""Bytes as text that a reader, an editor and a terminal take for text.

    What is no UTF-8, and control characters but a newline and a tab, are spelled out byte by byte, as in `\xff`. It is
    for the eye: a backslash stays one, so that what was spelled out can't be told from what was written so.

    Args:
        text: bytes, or what `jaxrnn.data.vocabulary.decode` makes of them.

    Example:
        >>> print(readable(b"caf\xc3\xa9 \xff\x00"))
        café \xff\x00
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return _UNREADABLE.sub(
        lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape")), text
    )
