"""Numbers for characters as they come: each gets the next one when it first occurs, and all go into a file.

Up to 256 different characters a number takes a byte. When the 257th comes, what is written so far is written again
with two.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxrnn.disk import sync
from jaxrnn.errors import VocabularyError

_CODE_POINTS = 0x110000
_BYTE = 256  # different characters whose numbers fit in one
_LARGEST = 1 << 16  # different characters, so that a number fits in two
_CHUNK = 1 << 20  # characters

CodePoints = npt.NDArray[np.uint32]


class Numbered(NamedTuple):
    """What has been written to the file."""

    dtype: str = "uint8"  # of a number
    length: int = 0  # how many numbers
    characters: str = ""  # in the order of their numbers
    counts: tuple[int, ...] = ()  # how often each occurs
    firsts: tuple[int, ...] = ()  # where each occurs first, counted from 0
    ids_sha256: str = hashlib.sha256().hexdigest()  # of the file


class Numbering:
    """Writes the numbers of characters to `ids.uint8` or `ids.uint16` in a folder.

    Raises:
        OSError: (of every method) the file can't be written.
    """

    def __init__(self, folder: Path, begun: Numbered | None = None) -> None:
        """Begins, or goes on from what `sync` returned.

        Raises:
            ValueError: the file is not what was written then.
        """
        begun = begun or Numbered()
        self._folder = folder
        self._dtype = np.dtype(begun.dtype)
        self._length = begun.length
        self._code_points = [ord(character) for character in begun.characters]
        self._counts = np.array(begun.counts, np.int64)
        self._firsts = list(begun.firsts)
        self._digest = hashlib.sha256()
        # From code points to numbers; -1 where there is none yet.
        self._table = np.full(_CODE_POINTS, -1, np.int32)
        self._table[self._code_points] = np.arange(len(self._code_points))
        self._file = self._open(begun)
        self._use_bytes()

    def _open(self, begun: Numbered) -> BinaryIO:
        """The file as it was, and nothing after that."""
        for path in self._folder.glob("ids.*"):
            if path.name != f"ids.{begun.dtype}":
                path.unlink()
        file = self._path().open("r+b" if begun.length else "w+b")
        size = begun.length * self._dtype.itemsize
        while size and (data := file.read(min(size, _CHUNK))):
            self._digest.update(data)
            size -= len(data)
        if size or self._digest.hexdigest() != begun.ids_sha256:
            file.close()
            raise ValueError("not the file that was written")
        file.truncate(file.tell())
        return file

    def _path(self) -> Path:
        return self._folder / f"ids.{self._dtype.name}"

    def add(self, code_points: CodePoints) -> None:
        """Adds characters.

        Raises:
            VocabularyError: there are more than 65,536 different ones now.
        """
        ids = self._table[code_points]
        new = np.flatnonzero(ids < 0)
        if new.size:
            found, where = np.unique(code_points[new], return_index=True)
            order = np.argsort(where)
            self._enter(found[order].tolist(), (self._length + new[where[order]]).tolist())
            ids = self._table[code_points]
        self._write(ids.astype(self._dtype))

    def add_bytes(self, data: bytes) -> None:
        """Adds characters below 256, each given as a byte; faster than `add`."""
        if new := data.translate(None, self._known_bytes):
            found = list(dict.fromkeys(new))
            self._enter(found, [self._length + data.index(byte) for byte in found])
        if self._dtype == np.uint8:
            self._write(np.frombuffer(data.translate(self._byte_table), np.uint8))
        else:
            self._write(self._table[np.frombuffer(data, np.uint8)].astype(self._dtype))

    def _enter(self, code_points: list[int], firsts: list[int]) -> None:
        """Gives numbers to new characters, in this order."""
        known = len(self._code_points)
        total = known + len(code_points)
        if total > _LARGEST:
            raise VocabularyError(
                f"the text has more than {_LARGEST:,} different characters, which is the most that is possible: "
                "is it text of a human language?"
            )
        self._table[code_points] = np.arange(known, total)
        self._code_points += code_points
        self._firsts += firsts
        self._counts = np.append(self._counts, np.zeros(len(code_points), np.int64))
        if total > _BYTE and self._dtype == np.uint8:
            self._widen()
        self._use_bytes()

    def _use_bytes(self) -> None:
        """Tables for `bytes.translate`."""
        self._known_bytes = bytes(point for point in self._code_points if point < _BYTE)
        self._byte_table = self._table[:_BYTE].astype(np.uint8).tobytes()

    def _write(self, ids: npt.NDArray[Any]) -> None:
        self._counts += np.bincount(ids, minlength=len(self._code_points))
        data = ids.tobytes()
        self._file.write(data)
        self._digest.update(data)
        self._length += ids.size

    def _widen(self) -> None:
        """Goes on in a file with two bytes a number, which begins with what the old one has.

        The old one stays until `sync`, for what was noted before is about that.
        """
        self._file.seek(0)
        old, self._dtype, self._digest = self._file, np.dtype(np.uint16), hashlib.sha256()
        with old:
            self._file = self._path().open("w+b")
            while data := old.read(_CHUNK):
                wide = np.frombuffer(data, np.uint8).astype(self._dtype).tobytes()
                self._file.write(wide)
                self._digest.update(wide)

    def sync(self) -> Numbered:
        """What is written now, and would survive a loss of power."""
        self._file.flush()
        sync(self._path())
        return Numbered(
            self._dtype.name,
            self._length,
            "".join(map(chr, self._code_points)),
            tuple(self._counts.tolist()),
            tuple(self._firsts),
            self._digest.hexdigest(),
        )

    def tidy(self) -> None:
        """Deletes the narrower file, once it is noted that it is not gone on with."""
        if self._dtype == np.uint16:
            (self._folder / "ids.uint8").unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_numbered(values: Mapping[str, Any]) -> Numbered:
    """What `sync` returned, from the JSON of its fields.

    Raises:
        ValueError, TypeError, KeyError: the values are something else.
    """
    given = {name: values[name] for name in Numbered._fields}
    lists = {name: tuple(values[name]) for name in ("counts", "firsts")}
    numbered = Numbered(**{**given, **lists})
    sizes = {len(numbered.characters), len(numbered.counts), len(numbered.firsts)}
    if (
        len(sizes) != 1
        or numbered.dtype not in ("uint8", "uint16")
        or numbered.length != sum(numbered.counts)
    ):
        raise ValueError("not what was written")
    return numbered
