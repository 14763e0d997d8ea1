"""Incremental decoding of UTF-8 with surprisal."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise


def characters_of(
    pieces: Iterable[bytes], nats: list[float] | None = None
) -> Iterator[tuple[str, Sequence[float]]]:
    """Decode UTF-8 incrementally; invalid bytes become lone surrogates.

    Args:
        pieces: The bytes, split anywhere.
        nats: The surprisal of each byte, complete for a piece when it is yielded, and removed when used; or None.

    Yields:
        Text, and the surprisal of each character: the sum over its bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for piece, is_last in chain(((piece, False) for piece in pieces), [(b"", True)]):
        text = decoder.decode(piece, is_last)
        lengths = (len(character.encode("utf-8", "surrogateescape")) for character in text)
        ends = list(accumulate(lengths, initial=0))
        yield text, [sum(nats[a:b]) for a, b in pairwise(ends)] if nats is not None else ()
        if nats is not None:
            del nats[: ends[-1]]
