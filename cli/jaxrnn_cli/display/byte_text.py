"""Bytes as the characters that they are in UTF-8, while they come."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise


def characters_of(
    pieces: Iterable[bytes], nats: list[float] | None = None
) -> Iterator[tuple[str, Sequence[float]]]:
    """Yields bytes as text, a character once all its bytes are there; what is no UTF-8 becomes lone surrogates.

    Args:
        pieces: the bytes, cut anywhere.
        nats: the surprisal of each byte, known by the time its piece comes and removed when used; or None.

    Yields:
        Text, and the surprisal of each of its characters: that of its bytes together.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for piece, is_last in chain(((piece, False) for piece in pieces), [(b"", True)]):
        text = decoder.decode(piece, is_last)
        lengths = (len(character.encode("utf-8", "surrogateescape")) for character in text)
        ends = list(accumulate(lengths, initial=0))
        yield text, [sum(nats[a:b]) for a, b in pairwise(ends)] if nats is not None else ()
        if nats is not None:
            del nats[: ends[-1]]
