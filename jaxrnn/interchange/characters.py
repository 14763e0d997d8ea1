"""Which character each id is, in whatever form and order another program wrote it down; and ours.

Our vocabularies are sorted by code point. Where another program's ids are in another order, the rows of the embedding
and the columns of the last layer are moved to ours.
"""

import re

from jaxrnn.data.vocabulary import Vocabulary, describe_character
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.json_text import show
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.types import Params

_MOST = 1 << 16
_MOST_TABLES = 3
_WANTED = "must be a text, a list of characters, or a map of characters to ids or of ids to characters"


def read_characters(table: object, source: str) -> list[str]:
    """Returns the characters of a table in the order of their ids.

    Args:
        table: a text of all of them; a list; a map from character to id, or from id to character; or up to three of
            these, in a list or as values of an object, that say the same.
        source: what messages call it.

    Raises:
        InterchangeError: It is none of these, an id is missing or given twice, or what stands there is no character.
    """
    characters = _read_one(table, source)
    if characters is None:
        tables = list(table.values()) if isinstance(table, dict) else table
        if not isinstance(tables, list) or not 1 <= len(tables) <= _MOST_TABLES:
            raise InterchangeError(f"{source}: {_WANTED}, not {show(table)}")
        several = [_read_one(each, source) for each in tables]
        characters = several[0]
        if characters is None or None in several:
            raise InterchangeError(f"{source}: {_WANTED}, not {show(table)}")
        if any(other != characters for other in several):
            raise InterchangeError(f"{source}: its tables of characters contradict each other")
    _check(characters, source)
    return characters


def _read_one(table: object, source: str) -> list[str] | None:
    """The characters in the order of their ids; None where it is no table."""
    match table:
        case str():
            return list(table)
        case list() if table and all(isinstance(character, str) for character in table):
            return table
        case dict() if table and all(type(number) is int for number in table.values()):
            return _in_order([(number, character) for character, number in table.items()], source)
        case dict() if table and all(
            re.fullmatch(r"\d{1,9}", number, re.ASCII) and isinstance(character, str)
            for number, character in table.items()
        ):
            return _in_order([(int(number), character) for number, character in table.items()], source)
    return None


def _in_order(pairs: list[tuple[int, str]], source: str) -> list[str]:
    numbers = sorted(number for number, _ in pairs)
    for expected, number in enumerate(numbers):
        if number > expected:
            raise InterchangeError(f"{source}: no character has the id {expected}; ids must count from 0")
        if number < expected:
            raise InterchangeError(f"{source}: the id {show(number)} is given twice, or below 0")
    return [character for _, character in sorted(pairs)]


def _check(characters: list[str], source: str) -> None:
    if not 1 <= len(characters) <= _MOST:
        raise InterchangeError(f"{source}: has {len(characters):,} characters; 1 to {_MOST:,} are possible")
    seen: set[str] = set()
    for character in characters:
        if len(character) != 1 or "\ud800" <= character <= "\udfff":
            problem = (
                f"{show(character)} is not one character; put one there that no text has, such as U+E000"
            )
            raise InterchangeError(f"{source}: {problem}")
        if character in seen:
            raise InterchangeError(f"{source}: has {describe_character(character)} twice")
        seen.add(character)


def sort_characters(characters: list[str], params: Params) -> tuple[Vocabulary, Params]:
    """Returns the vocabulary of these characters, and the parameters with each id's weights moved to its new id.

    Args:
        characters: in the order of the ids that the parameters are for.
        params: an embedding first, a dense layer last, of NumPy arrays.
    """
    order = sorted(range(len(characters)), key=characters.__getitem__)
    vocabulary = Vocabulary("".join(characters[old] for old in order))
    if order == list(range(len(characters))):
        return vocabulary, params
    embedding, *between, head = params
    moved = EmbeddingParams(embedding.table[order]), *between, DenseParams(head.w[:, order], head.b[order])
    return vocabulary, moved
