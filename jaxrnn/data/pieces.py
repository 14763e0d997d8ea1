r"""A file read piece by piece, each piece whole: no character and no `\r\n` is cut in two.

So each can be decoded and normalised by itself, with the rules of `texts`, and memory is that of a piece.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxrnn.errors import CorpusError

_PIECE = 1 << 21  # bytes
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Piece(NamedTuple):
    """A part of a file."""

    data: bytes  # as they are in the file
    start: int  # its offset in the file

    @property
    def end(self) -> int:
        """The offset at which the next piece begins."""
        return self.start + len(self.data)


def read_pieces(path: Path, name: str, start: int = 0, *, is_text: bool = True) -> Iterator[Piece]:
    """Read a file from an offset on.

    Args:
        path: a regular file.
        name: what messages call it.
        start: 0, or the `end` of a piece.
        is_text: whether characters and line ends are to be kept together.

    Raises:
        CorpusError: the file can't be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            while data := _read(file, start):
                is_last = len(data) < _PIECE
                piece = Piece(data if is_last or not is_text else data[: _whole(data)], start)
                yield piece
                start = piece.end
    except OSError as error:
        why = error.strerror or error
        raise CorpusError(f"can't read {name} ({why}): check the path and its permissions") from None


def normalised(piece: Piece) -> bytes:
    r"""The text of a piece in UTF-8: without a byte order mark, every line ending as `\n`."""
    data = piece.data.removeprefix(_BYTE_ORDER_MARK) if piece.start == 0 else piece.data
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _read(file: io.FileIO, start: int) -> bytes:
    """A piece's worth of bytes: fewer only at the end of the file."""
    read: list[bytes] = []
    missing = _PIECE
    file.seek(start)
    while missing and (data := file.read(missing)):
        read.append(data)
        missing -= len(data)
    return b"".join(read)


def _whole(data: bytes) -> int:
    r"""How many bytes of a piece, after which others follow, are whole characters and line ends."""
    end = len(data)
    for back in range(1, 4):  # the first byte of a character that is not all here is one of the last three
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            end -= back if back < length else 0
            break
        if byte < 0x80:
            break
    return end - (data[end - 1] == 0x0D)  # "\r": perhaps "\n" follows
