"""The part of a corpus that a run is scored on: the tokens of it that the model knows, and their scores as a table.

A token that the vocabulary lacks has no probability, so a corpus is scored without such tokens, as if they were not
there. They are counted and named: a loss says little about a corpus of which much was left out. No byte is ever
lacking.
"""

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrnn.data.texts import as_bytes, shown
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Vocabulary, by_frequency, id_type, names_of_tokens, spell, translation
from jaxrnn.disk import replacing, writing
from jaxrnn.errors import CorpusError, counted
from jaxrnn.evaluation.scoring import Scores


class ScoredText(NamedTuple):
    """A part of a corpus, and which tokens of it are scored."""

    name: str  # of the corpus
    part: str  # "whole", or one of `SPLITS`
    length: int  # in tokens, of all of it
    known: TokenSource  # the tokens in the model's vocabulary; the first is read but not scored
    positions: np.ndarray  # [known tokens], where they are in all of it
    unseen: dict[str, int]  # how often each other token occurs, the most frequent first

    @property
    def num_scored(self) -> int:
        """How many tokens are scored."""
        return len(self.known) - 1

    @property
    def num_bytes(self) -> int:
        """How many bytes they have in UTF-8, or are."""
        return len(as_bytes(spell(self.known.vocabulary, self.known.read(1))))

    @property
    def sha256(self) -> str:
        """The SHA-256 of the tokens read; scores are comparable if it is equal."""
        return hashlib.sha256(as_bytes(spell(self.known.vocabulary, self.known.read()))).hexdigest()


def find_known(vocabulary: Vocabulary, name: str, part: str, tokens: TokenSource) -> ScoredText:
    """Find the tokens of a part of a corpus that a model can be scored on; they are read into memory.

    Args:
        vocabulary: the model's.
        name: of the corpus.
        part: which part of it `tokens` are: "whole", or one of `SPLITS`.
        tokens: the part, in the vocabulary of the corpus.

    Raises:
        CorpusError: The part has fewer than two tokens that the model knows.
    """
    if part != "whole" and len(tokens) < 2:
        raise CorpusError(
            f"the run holds out {counted(len(tokens), vocabulary.unit)} of {shown(name)} for {part}: "
            "score another text with --corpus TEXT"
        )
    own = tokens.read()
    ids = translation(tokens.vocabulary, vocabulary)[own]
    positions = np.flatnonzero(ids >= 0)
    if len(positions) < 2:
        how_many = "none" if not len(positions) else "only 1"
        raise CorpusError(
            f"{shown(name)}: the model knows {how_many} of its {counted(len(own), vocabulary.unit)}: "
            "there is nothing to predict"
        )
    unseen, often = np.unique(own[ids < 0], return_counts=True)
    counts = {tokens.vocabulary.characters[i]: n for i, n in zip(unseen, often.tolist(), strict=True)}
    known = in_memory(vocabulary, ids[positions].astype(id_type(vocabulary)))
    return ScoredText(name, part, len(own), known, positions, by_frequency(counts))


def write_csv(path: Path, scored: ScoredText, scores: Scores) -> None:
    """Write each scored token in a row: position, token, nll and rank; every string is quoted, every number is not.

    The file appears at once.

    The position is counted from 0 in all of the text, so the tokens that are not scored (the first, and those that the
    model does not know) leave gaps. Bytes are written as numbers from 0 to 255.

    Raises:
        SaveError: The file can't be written.
    """
    vocabulary, ids = scored.known.vocabulary, scored.known.read(1)
    names = names_of_tokens(vocabulary)
    with (
        writing(path),
        replacing(path) as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        rows.writerow(("position", vocabulary.unit, "nll", "rank"))
        for position, i, nats, rank in zip(scored.positions[1:], ids, scores.nll, scores.ranks, strict=True):
            rows.writerow((int(position), names[i], round(float(nats), 6), int(rank)))
