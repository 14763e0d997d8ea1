"""A stretch of a text on the disk, as the ids of a vocabulary.

It is read through a map of the file that is made anew for each read: so the pages of earlier reads don't stay in the
memory of the process, however much of the text it has seen.
"""

import mmap
import os
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxrnn.data.cache import TokenFile
from jaxrnn.data.vocabulary import Vocabulary, byte_vocabulary
from jaxrnn.disk import reason
from jaxrnn.errors import CorpusError

Ids = npt.NDArray[Any]  # uint8 or uint16


class Opened:
    """A file held open for as long as anything refers to this, so that it can be deleted meanwhile."""

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            OSError: it can't be read.
        """
        self.path = path
        self.handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.handle)


@dataclass(frozen=True)
class Stream:
    """Ids that are read where they are needed; a length and a size it has as an array of ids has."""

    file: Opened
    dtype: str  # of an id in the file
    start: int  # in the file, in ids
    stop: int
    table: Ids  # the id in the vocabulary of each id in the file

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.stop - self.start

    @property
    def nbytes(self) -> int:
        """How much of it is in memory, in bytes: nothing."""
        return 0

    def take(self, positions: npt.NDArray[np.int64]) -> Ids:
        """The ids at these positions, counted from 0; before the first and after the last, the first and the last."""
        within = np.clip(positions, 0, self.size - 1)
        return self._translate(_map(self.file, self.dtype, self.stop)[self.start + within])

    def read(self, start: int, stop: int) -> Ids:
        """The ids from one position to another."""
        return self._translate(_map(self.file, self.dtype, self.stop)[self.start + start : self.start + stop])

    def windows(self, starts: npt.NDArray[np.int64], length: int) -> Ids:
        """The ids of windows of this length, `[..., windows, length]`, that begin at `starts [..., windows]`."""
        ids = _map(self.file, self.dtype, self.stop)
        views = np.lib.stride_tricks.sliding_window_view(ids, length)
        found = np.empty((*starts.shape, length), self.table.dtype)
        for index in np.ndindex(starts.shape[:-1]):
            read = views[self.start + starts[index]]
            if read.size and read.max() >= self.table.size:
                raise self._damaged()
            np.take(self.table, read, out=found[index], mode="clip")
        return found

    def _translate(self, ids: Ids) -> Ids:
        try:
            return self.table[ids]
        except IndexError:  # an id that was never written
            raise self._damaged() from None

    def _damaged(self) -> CorpusError:
        return CorpusError(f"{self.file.path} is damaged: delete its folder and start again")


def open_stream(tokens: TokenFile, vocabulary: Vocabulary) -> Stream:
    """All of a text, as the ids of a vocabulary that has all of its characters.

    Raises:
        CorpusError: the ids can't be read.
        ValueError: the vocabulary lacks a character.
    """
    ids = {character: index for index, character in enumerate(vocabulary.characters)}
    if not set(tokens.characters) <= ids.keys():
        raise ValueError("the vocabulary lacks a character of the text")
    table = np.array([ids[character] for character in tokens.characters])
    dtype = np.uint8 if vocabulary.size <= 256 else np.uint16
    try:
        file = Opened(tokens.file)
    except OSError as error:
        raise CorpusError(f"can't read {tokens.file} ({reason(error)}): delete {tokens.folder}") from None
    return Stream(file, tokens.numbered.dtype, 0, tokens.length, table.astype(dtype))


def vocabulary_of(tokens: TokenFile) -> Vocabulary:
    """The vocabulary of a text on the disk, as `build_vocabulary` makes it of one in memory."""
    return byte_vocabulary() if tokens.tokens == "bytes" else Vocabulary("".join(sorted(tokens.characters)))


def part(stream: Stream, start: int, stop: int) -> Stream:
    """A part of a stream, from one position to another."""
    return replace(stream, start=stream.start + start, stop=stream.start + stop)


def _map(file: Opened, dtype: str, stop: int) -> Ids:
    """The ids in a file up to `stop`, mapped.

    Raises:
        CorpusError: the file is shorter, or can't be read.
    """
    try:
        mapped = mmap.mmap(file.handle, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: empty
        raise CorpusError(
            f"can't read {file.path} ({reason(error)}): delete its folder, start again"
        ) from None
    ids = np.frombuffer(mapped, dtype)
    if ids.size < stop:
        raise CorpusError(f"{file.path} was cut short: delete its folder and start again")
    return ids[:stop]
