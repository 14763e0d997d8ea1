"""Parts of texts that are too large to be in memory, as text: what is scored of one, and looked into."""

from typing import NamedTuple

import numpy as np

from jaxrnn.data.cache import TokenFile
from jaxrnn.data.corpus import Corpus, read_corpus, split_lengths
from jaxrnn.data.sources import Source, find_source, is_streamed
from jaxrnn.data.stream import Stream, open_stream
from jaxrnn.data.texts import check_is_enough, shown
from jaxrnn.data.tokenizing import read_text
from jaxrnn.data.vocabulary import Text, Vocabulary, drop_unknown
from jaxrnn.errors import CorpusError

_CHUNK = 1 << 20  # tokens


class Excerpts(NamedTuple):
    """What of a run's text is read where all of it would be too much."""

    training: Text  # the end of what was trained on, without characters that the run does not have
    held_out: Text  # the beginning of what was not, as it is
    num_training: int  # how many tokens all of it has
    num_held_out: int


def split_excerpts(
    vocabulary: Vocabulary, tokens: TokenFile, validation_fraction: float, most: int
) -> Excerpts:
    """What `scored_text.split_text` does, for a text on the disk.

    Args:
        vocabulary: the run's.
        tokens: what the run learned from.
        validation_fraction: the run's.
        most: tokens of either part.
    """
    # In the text's own ids: it can have characters that the run has dropped.
    whole = open_stream(tokens, Vocabulary(tokens.characters, vocabulary.tokens))
    known = np.array([character in vocabulary.characters for character in tokens.characters])
    counts = np.array(tokens.numbered.counts)
    num_training, num_held_out = split_lengths(int(counts[known].sum()), validation_fraction)
    start = num_training if known.all() else _start_of_last(whole, known, num_held_out)
    before = _spell(tokens, whole.read(max(0, start - most), start))
    after = _spell(tokens, whole.read(start, min(start + most, whole.size)))
    return Excerpts(drop_unknown(vocabulary, before), after, num_training, num_held_out)


def first_part(source: Source, tokens: str, most: int, separator: str = "") -> Corpus:
    """The beginning of a text, read from its files; its hash is left empty.

    Raises:
        CorpusError: a file can't be read, or is not text.
    """
    read: list[bytes] = []
    length = 0
    for part in read_text(source, tokens, separator):
        read.append(part.data)
        length += len(part.data) if tokens == "bytes" else len(part.data.decode())
        if length >= most:
            break
    data = b"".join(read)
    name = shown(source.name)
    if tokens == "bytes":
        return Corpus(source.name, source.path, check_is_enough(data[:most], name), "")
    return Corpus(source.name, source.path, check_is_enough(data.decode()[:most], name), "")


def read_start(name: str, tokens: str, most: int) -> Text:
    """Read a text; of one that is larger than what is kept in memory, the beginning.

    Raises:
        CorpusError: It is not there, or is not text.
    """
    source = find_source(name)
    if is_streamed("auto", source):
        return first_part(source, tokens, most).text
    return read_corpus(source, tokens).text


def _start_of_last(whole: Stream, known: "np.ndarray", count: int) -> int:
    """Where the end of a text begins that has so many known characters."""
    stop = whole.size
    while count and stop:
        start = max(0, stop - _CHUNK)
        places = np.flatnonzero(known[whole.read(start, stop)])
        if places.size >= count:
            return start + int(places[-count])
        count, stop = count - places.size, start
    if count:
        raise CorpusError(f"{whole.file.path} is damaged: delete its folder and start again")
    return stop


def _spell(tokens: TokenFile, ids: "np.ndarray") -> Text:
    code_points = np.array([ord(character) for character in tokens.characters], "<u4")[ids]
    if tokens.tokens == "bytes":
        data: bytes = code_points.astype(np.uint8).tobytes()
        return data
    text: str = code_points.tobytes().decode("utf-32-le")
    return text
