"""Characters, or bytes, and their ids.

A vocabulary is the distinct characters of a text in the order of their code points, so that the same text gives
the same ids in every process and on every machine; a character's id is its index. Everything goes through
tables indexed by code point, a chunk of the text at a time, so that a text of any length needs little memory
beyond itself and its ids.

Where the tokens are bytes there is one vocabulary, of all 256, and a byte is its own id. A `str` stands there for its
bytes in UTF-8, and a byte that is no UTF-8 for the lone surrogate that Python has for it (PEP 383, "surrogateescape"):
so any bytes are a `str`, too, and come back from it as they were.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from jaxrnn.errors import VocabularyError

_CODE_POINTS = 0x110000
_CHUNK = 1 << 20  # characters
_LARGEST = 1 << 16  # characters in a vocabulary, so that an id fits two bytes

Ids = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Tokens = Literal["characters", "bytes"]
Text: TypeAlias = str | bytes


class Vocabulary(NamedTuple):
    """The characters a model knows: sorted by code point, none twice, a character's id being its index.

    Where `tokens` are bytes, it is `byte_vocabulary()`, and the character of id i, `chr(i)`, stands for the byte i.
    """

    characters: str
    tokens: Tokens = "characters"

    @property
    def size(self) -> int:
        """How many characters there are, or bytes."""
        return len(self.characters)


def byte_vocabulary() -> Vocabulary:
    """The vocabulary of everything that is made of bytes: all 256 of them.

    Example:
        >>> encode(byte_vocabulary(), "né")
        array([110, 195, 169], dtype=uint8)
    """
    return Vocabulary("".join(map(chr, range(256))), "bytes")


def build_vocabulary(text: Text) -> Vocabulary:
    """The vocabulary of a text: each of its characters once; of bytes, all that there are.

    Raises:
        VocabularyError: if the text has no characters, or more than 65,536 different ones.

    Example:
        >>> build_vocabulary("hello").characters
        'ehlo'
    """
    if isinstance(text, bytes):
        return byte_vocabulary()
    seen = np.zeros(_CODE_POINTS, bool)
    for _, code_points in _chunks(text):
        seen[code_points] = True
    found = np.flatnonzero(seen).astype(np.uint32)
    if not found.size:
        raise VocabularyError("an empty text has no vocabulary: give a text of at least one character")
    if found.size > _LARGEST:
        raise VocabularyError(
            f"the text has {found.size:,} different characters, at most {_LARGEST:,} are possible: "
            "is it text of a human language?"
        )
    return Vocabulary(_from_code_points(found))


def encode(vocabulary: Vocabulary, text: Text) -> Ids:
    """The ids of a text's characters; with a vocabulary of bytes, of the bytes that it has in UTF-8.

    Args:
        vocabulary: the characters that have ids.
        text: S characters; with a vocabulary of bytes also S bytes, which are the ids then, not copied and read-only.

    Returns:
        Ids [S]: uint8 for a vocabulary of up to 256 characters, else uint16.

    Raises:
        VocabularyError: if the vocabulary lacks a character of the text. It names the first, its position counted
            from 0, and how many more there are. Bytes lack only the surrogates that stand for no byte.
        TypeError: if the text is bytes and the vocabulary one of characters.

    Example:
        >>> encode(Vocabulary("ehlo"), "hello")
        array([1, 0, 2, 2, 3], dtype=uint8)
    """
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return np.frombuffer(text, np.uint8)
    if vocabulary.tokens == "bytes":
        return _encode_bytes(text)
    table = _id_table(vocabulary)
    ids: Ids = np.empty(len(text), np.uint8) if vocabulary.size <= 256 else np.empty(len(text), np.uint16)
    first, unknown = 0, 0
    for start, code_points in _chunks(text):
        found = table[code_points]
        missing = np.flatnonzero(found < 0)
        if missing.size and not unknown:
            first = start + int(missing[0])
        unknown += missing.size
        ids[start : start + found.size] = found
    if unknown:
        raise VocabularyError(_unknown_message(text[first], first, unknown - 1))
    return ids


def _encode_bytes(text: str) -> Ids:
    try:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    except UnicodeEncodeError:
        unknown = unknown_characters(byte_vocabulary(), text)
        position, character = unknown[0]
        raise VocabularyError(_unknown_message(character, position, len(unknown) - 1)) from None


def decode(vocabulary: Vocabulary, ids: npt.ArrayLike | Sequence[int]) -> str:
    """The text that the ids spell; the inverse of `encode`.

    Args:
        vocabulary: the characters that have ids.
        ids: integers [S]. Where they are bytes, any of them: one that is no UTF-8 becomes a lone surrogate.

    Raises:
        ValueError: if the ids are not one row of integers.
        VocabularyError: if one of them is no id of this vocabulary.

    Example:
        >>> decode(Vocabulary("ehlo"), [1, 0, 2, 2, 3])
        'hello'
    """
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"ids must be one row of integers, not an array of shape {array.shape}")
    if not array.size:
        return ""
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"ids must be integers, not {array.dtype}")
    if not 0 <= int(array.min()) <= int(array.max()) < vocabulary.size:
        wrong = int(array[(array < 0) | (array >= vocabulary.size)][0])
        raise VocabularyError(
            f"{wrong} is no id of a vocabulary of {vocabulary.size} characters: ids start at 0"
        )
    if vocabulary.tokens == "bytes":
        return array.astype(np.uint8).tobytes().decode("utf-8", "surrogateescape")
    characters = _code_points(vocabulary.characters)
    return "".join(
        _from_code_points(characters[array[start : start + _CHUNK]]) for start in range(0, array.size, _CHUNK)
    )


def in_tokens(vocabulary: Vocabulary, text: str) -> Text:
    """A text as the vocabulary counts it, one element a token: its bytes in UTF-8 where these are the tokens.

    Raises:
        VocabularyError: as `encode`, where tokens are bytes.
    """
    return encode(vocabulary, text).tobytes() if vocabulary.tokens == "bytes" else text


def spell(vocabulary: Vocabulary, ids: npt.NDArray[Any]) -> Text:
    """What the ids spell, one element a token: bytes where these are the tokens, else the text of `decode`."""
    return ids.astype(np.uint8).tobytes() if vocabulary.tokens == "bytes" else decode(vocabulary, ids)


def unknown_characters(vocabulary: Vocabulary, text: Text) -> list[tuple[int, str]]:
    """Every character of the text that the vocabulary lacks, as (position counted from 0, character), in order."""
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return []
    table = _id_table(vocabulary)
    return [
        (start + int(index), text[start + int(index)])
        for start, code_points in _chunks(text)
        for index in np.flatnonzero(table[code_points] < 0)
    ]


def count_unknown(vocabulary: Vocabulary, text: Text) -> dict[str, int]:
    """How often each character occurs that the vocabulary lacks, the most frequent first.

    Example:
        >>> count_unknown(Vocabulary("ehlo"), "hello, wow")
        {'w': 2, ' ': 1, ',': 1}
    """
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return {}
    table = _id_table(vocabulary)
    counts = np.zeros(_CODE_POINTS, np.int64)
    for _, code_points in _chunks(text):
        found, often = np.unique(code_points[table[code_points] < 0], return_counts=True)
        counts[found] += often
    unknown = np.flatnonzero(counts).tolist()
    by_frequency = sorted(unknown, key=lambda code_point: (-int(counts[code_point]), code_point))
    return {chr(code_point): int(counts[code_point]) for code_point in by_frequency}


def drop_unknown(vocabulary: Vocabulary, text: Text) -> Text:
    """The text without the characters that the vocabulary lacks.

    Example:
        >>> drop_unknown(Vocabulary("ehlo"), "hello, wow")
        'helloo'
    """
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return text
    table = _id_table(vocabulary)
    return "".join(
        _from_code_points(code_points[table[code_points] >= 0]) for _, code_points in _chunks(text)
    )


def merge(vocabulary: Vocabulary, other: Vocabulary) -> Vocabulary:
    """The vocabulary of all characters of both.

    Raises:
        VocabularyError: together they have more than 65,536, or one is of characters and the other of bytes.

    Example:
        >>> merge(Vocabulary("ehlo"), Vocabulary("low")).characters
        'ehlow'
    """
    if vocabulary.tokens != other.tokens:
        raise VocabularyError("a vocabulary of characters and one of bytes have nothing in common")
    merged = np.union1d(_code_points(vocabulary.characters), _code_points(other.characters))
    if merged.size > _LARGEST:
        raise VocabularyError(
            f"two vocabularies have {merged.size:,} different characters together, at most {_LARGEST:,} are possible"
        )
    return Vocabulary(_from_code_points(merged), vocabulary.tokens)


def describe_character(c: str) -> str:
    r"""A character as a message shows it: quoted, escaped where it can't be seen, with its code point.

    Example:
        >>> describe_character("é"), describe_character("\n")
        ("'é' (U+00E9)", "'\\n' (U+000A)")
    """
    return f"{c!r} (U+{ord(c):04X})"


def vocabulary_to_json(vocabulary: Vocabulary) -> str:
    """The vocabulary as JSON text, in ASCII, so that no editor or encoding can change it."""
    content = {"characters": vocabulary.characters}
    if vocabulary.tokens != "characters":  # which is what a file that does not say it means
        content["tokens"] = vocabulary.tokens
    return json.dumps(content) + "\n"


def vocabulary_from_json(text: str, source: str) -> Vocabulary:
    """The vocabulary that `vocabulary_to_json` wrote.

    Args:
        text: the JSON.
        source: where it comes from, for messages.

    Raises:
        VocabularyError: if it is not JSON, or not a vocabulary: a string of characters, sorted, none twice; or all
            bytes.
    """
    try:
        # A damaged file may hold anything: deep nesting and huge integers have their own exceptions.
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise VocabularyError(f"{source} is not JSON: restore it from a copy of the run") from None
    characters = content.get("characters") if isinstance(content, dict) else None
    if not isinstance(characters, str) or not characters:
        raise VocabularyError(f'{source} has no "characters": restore it from a copy of the run')
    order = _code_points(characters)
    if not bool(np.all(order[1:] > order[:-1])):
        raise VocabularyError(
            f"the characters in {source} are not sorted, each once: restore it from a copy of the run"
        )
    if len(characters) > _LARGEST:
        raise VocabularyError(
            f"{source} has {len(characters):,} characters, at most {_LARGEST:,} are possible"
        )
    tokens = content.get("tokens", "characters")
    if tokens == "bytes" and characters != byte_vocabulary().characters:
        raise VocabularyError(
            f"{source} is not the vocabulary of all 256 bytes: restore it from a copy of the run"
        )
    if tokens not in ("characters", "bytes"):
        raise VocabularyError(
            f'{source}: "tokens" is neither "characters" nor "bytes": a newer jaxrnn may read it'
        )
    return Vocabulary(characters, tokens)


def _require_bytes(vocabulary: Vocabulary) -> None:
    if vocabulary.tokens != "bytes":
        raise TypeError("a vocabulary of characters reads a str, not bytes")


def _unknown_message(character: str, position: int, more: int) -> str:
    others = {0: "", 1: ", and 1 more is missing"}.get(more, f", and {more:,} more are missing")
    return (
        f"the vocabulary does not have {describe_character(character)}, "
        f"at position {position:,} (counted from 0){others}"
    )


def _id_table(vocabulary: Vocabulary) -> npt.NDArray[np.int32]:
    """The id of each code point there is; -1 where the vocabulary has none."""
    if vocabulary.tokens == "bytes":
        # Only what is known counts here, for a character may be several bytes: all but surrogates that stand for none.
        table = np.zeros(_CODE_POINTS, np.int32)
        table[0xD800:0xDC80] = table[0xDD00:0xE000] = -1
        return table
    table = np.full(_CODE_POINTS, -1, np.int32)
    table[_code_points(vocabulary.characters)] = np.arange(vocabulary.size, dtype=np.int32)
    return table


def _chunks(text: str) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Pieces of the text as (position of the first character, code points)."""
    for start in range(0, len(text), _CHUNK):
        yield start, _code_points(text[start : start + _CHUNK])


# A command line can hand over lone surrogates (bytes that were no UTF-8): they pass here, to be named as unknown.
def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _from_code_points(code_points: npt.NDArray[Any]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
