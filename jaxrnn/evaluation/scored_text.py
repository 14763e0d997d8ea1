"""The text that a run is scored on: what of it the model knows, and each character's score as a table.

A character that the vocabulary lacks has no probability, so a text is scored without such characters, as if they did
not stand there. They are counted and named: a loss says little about a text of which much was left out. Where the
tokens are bytes, the text is `bytes`, each of them is scored, and none is lacking.
"""

import csv
import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from jaxrnn.data.corpus import Corpus, split_lengths
from jaxrnn.data.texts import as_bytes, shown
from jaxrnn.data.vocabulary import Text, Vocabulary, count_unknown, drop_unknown
from jaxrnn.disk import reason
from jaxrnn.errors import CorpusError, SaveError
from jaxrnn.evaluation.scoring import Scores

COLUMNS = ("position", "character", "nll", "rank")
BYTE_COLUMNS = ("position", "byte", "nll", "rank")


class ScoredText(NamedTuple):
    """A text and what of it is scored."""

    name: str  # of the corpus
    part: Literal["held out", "whole"]
    text: Text  # as it is
    known: Text  # what the model can read of it; its first character is read and not scored
    unseen: dict[str, int]  # how often each other character occurs, the most frequent first

    @property
    def num_scored(self) -> int:
        """How many characters are scored, or bytes."""
        return len(self.known) - 1

    @property
    def num_bytes(self) -> int:
        """How many bytes they have in UTF-8, or are."""
        return len(as_bytes(self.known[1:]))

    @property
    def sha256(self) -> str:
        """Of what is scored: numbers compare where it is the same."""
        return hashlib.sha256(as_bytes(self.known)).hexdigest()


def whole_text(vocabulary: Vocabulary, corpus: Corpus) -> ScoredText:
    """All of a text.

    Raises:
        CorpusError: The model knows fewer than two of its characters.
    """
    return _scored(vocabulary, corpus, "whole", corpus.text)


def split_text(vocabulary: Vocabulary, corpus: Corpus, validation_fraction: float) -> tuple[Text, Text]:
    """Divide the corpus of a run as its training did.

    Args:
        vocabulary: the run's. Characters that it lacks were dropped before the text was divided.
        corpus: what the run learned from.
        validation_fraction: the run's.

    Returns:
        What was trained on, without such characters; and the end that was held out, with them.
    """
    known = drop_unknown(vocabulary, corpus.text)
    training, held_out = split_lengths(len(known), validation_fraction)
    start = len(corpus.text)
    if len(known) == start:
        return known[:training], corpus.text[training:]
    characters = frozenset[object](vocabulary.characters)  # bytes never get here: none was dropped
    while held_out:
        start -= 1
        held_out -= corpus.text[start] in characters
    return known[:training], corpus.text[start:]


def held_out_text(vocabulary: Vocabulary, corpus: Corpus, text: Text) -> ScoredText:
    """The end of a corpus that `split_text` found to be held out.

    Raises:
        CorpusError: It has fewer than two characters.
    """
    if len(text) < 2:
        raise CorpusError(
            f"the run holds out {len(text)} {corpus.tokens} of {shown(corpus.name)}: "
            "score another text with --corpus TEXT"
        )
    return _scored(vocabulary, corpus, "held out", text)


def _scored(
    vocabulary: Vocabulary, corpus: Corpus, part: Literal["held out", "whole"], text: Text
) -> ScoredText:
    unseen = count_unknown(vocabulary, text)
    known = drop_unknown(vocabulary, text) if unseen else text
    if len(known) < 2:
        how_many = "none" if not known else "only 1"
        raise CorpusError(
            f"{shown(corpus.name)}: the model knows {how_many} of its {len(text):,} {corpus.tokens}: "
            "there is nothing to predict"
        )
    return ScoredText(corpus.name, part, text, known, unseen)


def write_csv(path: Path, scored: ScoredText, scores: Scores) -> None:
    """Writes each scored character in a row of `COLUMNS`; every string is quoted, every number is not.

    The position is counted from 0 in the text as it is, so the characters that are not scored (the first, and those
    that the model does not know) leave gaps. Bytes go into rows of `BYTE_COLUMNS`, as numbers from 0 to 255.

    Raises:
        SaveError: The file can't be written.
    """
    known: set[str | int] = set(scored.known)
    places = ((position, c) for position, c in enumerate(scored.text) if c in known)
    next(places)  # the first has no score
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            rows.writerow(BYTE_COLUMNS if isinstance(scored.text, bytes) else COLUMNS)
            for (position, c), nats, rank in zip(places, scores.nll, scores.ranks, strict=True):
                rows.writerow((position, c, round(float(nats), 6), int(rank)))
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {reason(error)}") from error
