"""Which character each id is, in whatever form and order another program wrote it down; and ours.

Our vocabularies are sorted by code point. Where another program's ids are in another order, the rows of the embedding
and the columns of the last layer are moved to ours.
"""

import re
import reprlib
from collections import Counter
from typing import Any, NamedTuple

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Vocabulary, describe_character
from jaxrnn.errors import InterchangeError
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.types import Params

_MOST = 1 << 16
_MOST_TABLES = 3


class Imported(NamedTuple):
    """A model that was read, in our terms."""

    config: ModelConfig
    params: Params  # of NumPy arrays
    vocabulary: Vocabulary
    notes: tuple[str, ...]  # choices that the file leaves open


def read_characters(table: object) -> list[str]:
    """Return the characters of a table in the order of their ids.

    Args:
        table: a string of all of them; a list; a map from character to id, or from id to character; or up to three of
            these, in a list or as values of an object, that say the same.

    Raises:
        InterchangeError: It is not one of these, an id is missing or given twice, or an entry is not one character.
    """
    several = [_read_one(table)]
    if several == [None]:
        tables: Any = list(table.values()) if isinstance(table, dict) else table
        is_few = isinstance(tables, list) and 1 <= len(tables) <= _MOST_TABLES
        several = [*map(_read_one, tables)] if is_few else [None]
    characters = several[0]
    if characters is None or None in several:
        wanted = "must be a string, a list of characters, or a map between characters and ids"
        raise InterchangeError(f"{wanted}, not {reprlib.repr(table)}")
    if any(other != characters for other in several):
        raise InterchangeError("several tables contradict each other")
    if not 1 <= len(characters) <= _MOST:
        raise InterchangeError(f"has {len(characters):,} characters; 1 to {_MOST:,} are possible")
    for character in characters:
        if len(character) != 1 or "\ud800" <= character <= "\udfff":
            problem = "is not one character; put one there that no text has, such as U+E000"
            raise InterchangeError(f"{reprlib.repr(character)} {problem}")
    ((most_common, count),) = Counter(characters).most_common(1)
    if count > 1:
        raise InterchangeError(f"has {describe_character(most_common)} twice")
    return characters


def _read_one(table: object) -> list[str] | None:
    """Return the characters in the order of their ids; None where it is not a table."""
    match table:
        case str():
            return list(table)
        case list() if table and all(isinstance(character, str) for character in table):
            return table
        case dict() if table and all(type(number) is int for number in table.values()):
            return _in_order([(number, character) for character, number in table.items()])
        case dict() if table and all(
            re.fullmatch(r"\d{1,9}", number, re.ASCII) and isinstance(character, str)
            for number, character in table.items()
        ):
            return _in_order([(int(number), character) for number, character in table.items()])
    return None


def _in_order(pairs: list[tuple[int, str]]) -> list[str]:
    pairs.sort()
    for expected, (number, _) in enumerate(pairs):
        if number != expected:
            problem = f"but {reprlib.repr(number)} is where {expected} must be"
            raise InterchangeError(f"ids must count from 0, each once, {problem}")
    return [character for _, character in pairs]


def sort_characters(characters: list[str], params: Params) -> tuple[Vocabulary, Params]:
    """Return the vocabulary of these characters, and the parameters with each id's weights moved to its new id.

    Args:
        characters: in the order of the ids that the parameters are for.
        params: an embedding first, a dense layer last, of NumPy arrays.
    """
    order = sorted(range(len(characters)), key=characters.__getitem__)
    embedding, *between, head = params
    moved = EmbeddingParams(embedding.table[order]), *between, DenseParams(head.w[:, order], head.b[order])
    return Vocabulary("".join(sorted(characters))), moved
