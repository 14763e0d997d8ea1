r"""Reading of files: strict UTF-8 with line ends normalized to `\n`, or bytes unchanged.

Files compressed with gzip, bzip2 or xz are decompressed.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jaxrnn.config import Texts
from jaxrnn.disk import reason
from jaxrnn.errors import CorpusError

_PIECE = 1 << 21  # bytes
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Control characters (C0, DEL and C1) except tab and newline; and the lone surrogates of surrogateescape.
_UNREADABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\udc80-\udcff]+")
_OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_OTHER_ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\x28\xb5\x2f\xfd": "compressed with zstd"}
_ANY_FILE = 'a run with corpus.tokens = "bytes" learns from any file'


def shown(name: str) -> str:
    """Return a name for a one-line message, escaped if it has unprintable characters."""
    return name if name.isprintable() else repr(name)


def several(names: Texts) -> str:
    """Return one name unchanged; for several, the first three and the number of the others."""
    if isinstance(names, str):
        return names
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def read_pieces(
    path: Path, name: str, *, is_text: bool, encoding: str = "utf-8"
) -> Iterator[tuple[str | bytes, int]]:
    r"""Read a file piece by piece.

    Args:
        path: A regular file.
        name: The name of the file in messages.
        is_text: Whether to decode it, drop a byte order mark, and normalize line ends to `\n`.
        encoding: The encoding of the text.

    Yields:
        A piece, which never ends inside a character or a line end; and the number of bytes read so far.

    Raises:
        CorpusError: The file can't be read or decompressed, or is binary or in another encoding; the first bad byte is
            named by its offset in the text, counted from 0.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    is_utf_8 = codecs.lookup(encoding).name == "utf-8"
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    start, is_last = 0, False
    try:
        with path.open("rb") as compressed, _decompressed(compressed) as file:
            while not is_last:
                data = file.read(_PIECE)
                end, is_last = start + len(data), not data
                if not is_text:
                    yield data, compressed.tell()
                    start = end
                    continue
                if start == 0:
                    if archive := _kind(data, _OTHER_ARCHIVES):
                        raise CorpusError(
                            f"{name} is {archive}: unpack it, or compress it with gzip, bzip2 or xz"
                        )
                    if is_utf_8 and (other := _kind(data, _OTHER_ENCODINGS)):
                        remedy = f'set corpus.encoding to "{other.lower()}", or save it as UTF-8'
                        raise CorpusError(f"{name} looks like {other}: {remedy}; {_ANY_FILE}")
                    if is_utf_8:
                        start += len(_BYTE_ORDER_MARK) * data.startswith(_BYTE_ORDER_MARK)
                        data = data.removeprefix(_BYTE_ORDER_MARK)
                if is_utf_8 and (nul := data.find(b"\0")) >= 0:
                    raise CorpusError(
                        f"{name} is binary, not text (a NUL byte at offset {start + nul:,}): "
                        f"give a UTF-8 text file; {_ANY_FILE}"
                    )
                start -= len(decoder.getstate()[0])  # bytes of a character that began in the previous piece
                yield newlines.decode(data, final=is_last), compressed.tell()
                start = end
    except UnicodeDecodeError as error:
        shown_encoding = "UTF-8" if is_utf_8 else encoding
        raise CorpusError(
            f"{name} is not {shown_encoding}: bad byte 0x{error.object[error.start]:02x} at offset "
            f"{start + error.start:,}: set corpus.encoding to what it is in, or save it as UTF-8; {_ANY_FILE}"
        ) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            problem = f"can't read {name} ({reason(error)}): check the path and its permissions"
        else:
            problem = f"{name} can't be decompressed ({reason(error)}): fetch it again"
        raise CorpusError(problem) from None


def _decompressed(file: io.BufferedReader) -> contextlib.AbstractContextManager[BinaryIO]:
    """Return a reader of the decompressed content of a file."""
    opened = _kind(file.peek(6), _COMPRESSED)
    return contextlib.nullcontext(file) if opened is None else opened(file)


def _kind(data: bytes, by_mark: dict[bytes, Any]) -> Any:
    """Return the format of a file by its first bytes; None if they are not in `by_mark`."""
    return next((kind for mark, kind in by_mark.items() if data.startswith(mark)), None)


def as_bytes(text: str | bytes) -> bytes:
    """Return a string in UTF-8 with surrogateescape; bytes are returned unchanged."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def readable(text: str | bytes) -> str:
    r"""Return bytes as printable text; a string is returned unchanged.

    Bytes that are not UTF-8, and control characters except newline and tab, are escaped as in `\xff`. Backslashes are
    not escaped, so an escaped byte can't be distinguished from the same characters in the text.

    Example:
        >>> print(readable(b"caf\xc3\xa9 \xff\x00"))
        café \xff\x00
    """
    if isinstance(text, str):
        return text
    return _UNREADABLE.sub(
        lambda match: "".join(f"\\x{byte:02x}" for byte in as_bytes(match[0])),
        text.decode("utf-8", "surrogateescape"),
    )
