"""Token ids of a corpus, in memory or on disk.

A file is memory-mapped anew for each read, so that pages of earlier reads do not stay in the process's memory.
"""

import mmap
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxrnn.data.vocabulary import Ids, Vocabulary, id_type, translation
from jaxrnn.disk import reason
from jaxrnn.errors import CorpusError

_CHUNK = 1 << 20  # tokens


@dataclass(frozen=True, eq=False)
class TokenSource:
    """A contiguous part of a corpus as ids of a vocabulary; made by `in_memory` or `on_disk`."""

    vocabulary: Vocabulary
    stored: Callable[[], Ids]  # returns the stored ids of the whole corpus
    start: int
    stop: int
    table: Ids | None = None  # maps stored ids to ids of `vocabulary`; None if they are the same
    file: Path | None = None  # the file of the ids; None: in memory

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def nbytes(self) -> int:
        """Memory in bytes; 0 if the ids are on disk."""
        return 0 if self.file else len(self) * id_type(self.vocabulary).itemsize

    def read(self, start: int = 0, stop: int | None = None) -> Ids:
        """Return the ids from `start` up to, not including, `stop`; None is the end."""
        stop = len(self) if stop is None else stop
        return self._translate(self.stored()[self.start + start : self.start + stop])

    def take(self, positions: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Return the ids at these positions; positions outside the part are clipped."""
        found = self.stored()[self.start + np.clip(positions, 0, len(self) - 1)]
        return self._translate(found).astype(np.int32)

    def windows(self, starts: npt.NDArray[np.int64], length: int) -> Ids:
        """Return the ids of windows that begin at `starts [..., windows]`: `[..., windows, length]`."""
        views = np.lib.stride_tricks.sliding_window_view(self.stored(), length)
        found = np.empty((*starts.shape, length), id_type(self.vocabulary))
        for index in np.ndindex(starts.shape[:-1]):
            found[index] = self._translate(views[self.start + starts[index]])
        return found

    def chunks(self) -> Iterator[Ids]:
        """Yield all ids in order, a million at a time."""
        for start in range(0, len(self), _CHUNK):
            yield self.read(start, min(start + _CHUNK, len(self)))

    def part(self, start: int, stop: int) -> "TokenSource":
        """Return the part from `start` up to, not including, `stop`, without copying."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def in_vocabulary(self, vocabulary: Vocabulary) -> "TokenSource":
        """Return the same tokens as ids of another vocabulary.

        Raises:
            ValueError: The other vocabulary lacks one of the tokens.
        """
        if vocabulary.characters == self.vocabulary.characters:
            return replace(self, vocabulary=vocabulary)
        table = translation(self.vocabulary, vocabulary)
        if table.min() < 0:
            raise ValueError("the vocabulary lacks a token of the corpus")
        ids = table.astype(id_type(vocabulary))
        return replace(self, vocabulary=vocabulary, table=ids if self.table is None else ids[self.table])

    def _translate(self, ids: Any) -> Ids:
        translated: Ids = ids if self.table is None else self.table[ids]
        return translated


def in_memory(vocabulary: Vocabulary, ids: Ids) -> TokenSource:
    """Return ids `[tokens]` of a vocabulary as a source."""
    return TokenSource(vocabulary, lambda: ids, 0, len(ids))


def on_disk(vocabulary: Vocabulary, file: Path, length: int) -> TokenSource:
    """Return a file of `length` ids as a source; the file may be deleted while the source is in use.

    Raises:
        OSError: The file can't be opened. Later reads raise `CorpusError` if it was truncated.
    """
    handle = os.open(file, os.O_RDONLY)

    def stored() -> Ids:
        try:
            mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: empty
            raise CorpusError(
                f"can't read {file} ({reason(error)}): delete its folder and start again"
            ) from None
        ids: Ids = np.frombuffer(mapped, id_type(vocabulary))
        if ids.size < length:
            raise CorpusError(f"{file} was cut short: delete its folder and start again")
        return ids[:length]

    weakref.finalize(stored, os.close, handle)
    return TokenSource(vocabulary, stored, 0, length, file=file)
