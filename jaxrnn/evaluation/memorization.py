"""The share of a text that is copied from another, for example of a sample from the training corpus.

Every string of n characters of the text is looked for in the source by a 64-bit hash. The hashes of all strings of a
text come from doubling, without a loop over its characters:

    hash of 2n characters at i  =  mix(hash of n at i) * K + hash of n at i + n        (mod 2^64)

and any other n is made of powers of two alike. The source is read in pieces, so that the memory needed is that of
the text's hashes and one piece's, however long the source is. Among 10 million strings and 20,000 others, the
probability that two of them that differ have the same hash is about 1e-8.

Human text repeats strings too, at a rate that depends on the corpus; compare the number with that of unseen text of the
same length.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxrnn.data.tokens import TokenSource

LENGTHS = (16, 32, 64)
_PIECE = 2**20  # characters of the source at a time
_MARKS = 20  # bits of a hash that a table of marks sifts by, before it is looked up
_MIX, _NEXT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)  # odd numbers of random bits
_Hashes = npt.NDArray[np.uint64]


class Copied(NamedTuple):
    """What of a text stands in a source, word for word."""

    shares: dict[int, float]  # by n: the share of the text's strings of n characters that stand in the source
    longest: int  # the length of the longest passage that does
    start: int  # where it begins in the text, the first of several


def find_copied(text: npt.NDArray[Any], source: TokenSource, lengths: Sequence[int] = LENGTHS) -> Copied:
    """Looks for the strings of a text in a source.

    Args:
        text: ids of what may have been copied, `[tokens]`.
        source: what from, in the same vocabulary; it is read piece by piece.
        lengths: n, of the strings whose shares are asked for; a text shorter than n has a share of 0.
    """
    stands = {n: _stands(text, source, n) for n in lengths}
    shares = {n: float(found.mean()) if found.size else 0.0 for n, found in stands.items()}
    longest, start = _find_longest(text, source)
    return Copied(shares, longest, start)


def _find_longest(text: npt.NDArray[Any], source: TokenSource) -> tuple[int, int]:
    """The length of the longest common passage and its start in the text.

    Whoever copied a passage copied all that is in it, so lengths that are found lie below all that are not: the border
    is sought by doubling, then by bisection.
    """
    start = 0
    found, missed = 0, min(len(text), len(source)) + 1
    length = 16
    while missed - found > 1:
        length = min(length, missed - 1)
        places = np.flatnonzero(_stands(text, source, length))
        if places.size:
            found, start = length, int(places[0])
            length = 2 * found if 2 * found < missed else (found + missed) // 2
        else:
            missed = length
            length = (found + missed) // 2
    return found, start


def _stands(text: npt.NDArray[Any], source: TokenSource, n: int) -> npt.NDArray[np.bool_]:
    """Whether the n characters from here stand in the source, for every place of the text that has so many after it."""
    if n > min(len(text), len(source)):
        return np.zeros(max(0, len(text) - n + 1), bool)
    wanted, which = np.unique(_hash_strings(text, n), return_inverse=True)
    shift = np.uint64(64 - _MARKS)
    is_marked = np.zeros(2**_MARKS, bool)
    is_marked[wanted >> shift] = True
    is_found = np.zeros(wanted.size, bool)
    for start in range(0, len(source) - n + 1, _PIECE):
        hashes = _hash_strings(source.read(start, min(start + _PIECE + n - 1, len(source))), n)
        hashes = hashes[is_marked[hashes >> shift]]
        places = np.minimum(np.searchsorted(wanted, hashes), wanted.size - 1)
        is_found[places[wanted[places] == hashes]] = True
    return is_found[which]


def _hash_strings(ids: npt.NDArray[Any], n: int) -> _Hashes:
    """The hash of the n characters from each place on, `[characters - n + 1]`."""
    doubled = (ids.astype(np.uint64) + np.uint64(1)) * _MIX  # of 1, 2, 4, ... characters
    hashes: _Hashes | None = None  # of as many as `length` says
    length, width = 0, 1
    while True:
        if n & width:
            hashes = doubled if hashes is None else _join(hashes, doubled, length)
            length += width
        if length == n:
            assert hashes is not None
            return hashes[: len(ids) - n + 1]
        doubled = _join(doubled, doubled, width)
        width *= 2


def _join(first: _Hashes, then: _Hashes, length: int) -> _Hashes:
    """The hashes of what `first` covers, `length` characters, and what `then` covers after it."""
    then = then[length:]
    mixed = first[: len(then)].copy()
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    mixed *= _NEXT
    mixed += then[: len(mixed)]
    return mixed
