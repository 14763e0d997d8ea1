"""Vocabularies and tokenizers: encoding of text to token ids, and decoding.

A character vocabulary has the distinct characters of a corpus, sorted by code point; the id of a character is its
index. The same corpus thus has the same ids in every process and on every machine.

There is one byte vocabulary, of all 256 bytes; a byte is its own id. A `str` is encoded as UTF-8, and bytes that are
not UTF-8 are represented by lone surrogates (PEP 383, "surrogateescape"), so that any bytes survive a round trip
through `str`.

Documents. A corpus of many short documents (names, messages, poems, articles) has a separator between them, one
character or one byte. The separator is the first token of the document after it: the state is reset just before the
model reads it, in training, evaluation and sampling alike, so predictions depend only on the current document. A sample
whose prompt is the separator starts a new document.

All code that depends on the kind of token is in `TOKENIZERS`; a new tokenizer is a new row.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from jaxrnn.config.fields import show
from jaxrnn.data.texts import readable
from jaxrnn.errors import ConfigError, VocabularyError

_CODE_POINTS = 0x110000
_CHUNK = 1 << 20  # characters
_LARGEST = 1 << 16  # characters in a vocabulary, so that an id fits two bytes

Ids: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Counts: TypeAlias = npt.NDArray[np.int64]
Tokens = Literal["characters", "bytes"]
Text: TypeAlias = str | bytes


class Vocabulary(NamedTuple):
    """The tokens of a model: distinct characters, sorted by code point; the id of a character is its index.

    If `tokens` is "bytes", it equals `byte_vocabulary()`, and `chr(i)` represents the byte i. `separator` is the
    character at which a document begins; "" means no separator.
    """

    characters: str
    tokens: Tokens = "characters"
    separator: str = ""

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.characters)

    @property
    def unit(self) -> str:
        """The name of one token in messages: "character" or "byte"."""
        return TOKENIZERS[self.tokens].unit

    @property
    def separator_id(self) -> int | None:
        """The id before which a model's state is reset; None without a separator."""
        return self.characters.index(self.separator) if self.separator else None


class Tokenizer(NamedTuple):
    """The functions of one kind of token; its key in `TOKENIZERS` is the plural of `unit`."""

    unit: str  # the name of one token in messages
    is_text: bool  # True: text with normalized line ends; False: raw bytes
    build: Callable[[Iterable[Any]], tuple[Vocabulary, Counts]]  # from pieces of a corpus
    encode: Callable[[Vocabulary, Any], Ids]
    spell: Callable[[Vocabulary, npt.NDArray[Any]], Text]  # the inverse of `encode`; one element per token
    knows: Callable[[Vocabulary], Callable[[str], bool]]  # whether a character can be encoded


def byte_vocabulary() -> Vocabulary:
    """Return the vocabulary of all 256 bytes.

    Example:
        >>> encode(byte_vocabulary(), "né")
        array([110, 195, 169], dtype=uint8)
    """
    return Vocabulary("".join(map(chr, range(256))), "bytes")


def build_vocabulary(text: Text) -> Vocabulary:
    """Return the vocabulary of a string, its distinct characters; for bytes, the byte vocabulary.

    Raises:
        VocabularyError: The string is empty, or has more than 65,536 distinct characters.

    Example:
        >>> build_vocabulary("hello").characters
        'ehlo'
    """
    vocabulary, _ = TOKENIZERS["bytes" if isinstance(text, bytes) else "characters"].build([text])
    if not vocabulary.size:
        raise VocabularyError("an empty text has no vocabulary: give a text of at least one character")
    return vocabulary


def encode(vocabulary: Vocabulary, text: Text) -> Ids:
    """Return the ids of a text's tokens.

    Args:
        vocabulary: The vocabulary.
        text: S characters. With a byte vocabulary, a `str` is encoded as UTF-8, and bytes are returned as ids without a
            copy, read-only.

    Returns:
        Ids [S]: uint8 for a vocabulary of up to 256 tokens, else uint16.

    Raises:
        VocabularyError: The vocabulary lacks a character of the text. The message names the first, its position
            counted from 0, and how many more there are. Bytes lack only the surrogates that stand for no byte.
        TypeError: The text is bytes and the vocabulary one of characters.

    Example:
        >>> encode(Vocabulary("ehlo"), "hello")
        array([1, 0, 2, 2, 3], dtype=uint8)
    """
    return TOKENIZERS[vocabulary.tokens].encode(vocabulary, text)


def decode(vocabulary: Vocabulary, ids: npt.ArrayLike | Sequence[int]) -> str:
    """Decode ids to a string; the inverse of `encode`.

    Args:
        vocabulary: The vocabulary.
        ids: Integers [S]. Bytes that are not UTF-8 become lone surrogates.

    Raises:
        ValueError: The ids are not a 1-D array of integers.
        VocabularyError: An id is not in the vocabulary.

    Example:
        >>> decode(Vocabulary("ehlo"), [1, 0, 2, 2, 3])
        'hello'
    """
    array = np.asarray(ids)
    if array.shape == (0,):
        return ""
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"ids must be one row of integers, got {array.dtype} of shape {array.shape}")
    if not 0 <= int(array.min()) <= int(array.max()) < vocabulary.size:
        wrong = int(array[(array < 0) | (array >= vocabulary.size)][0])
        raise VocabularyError(
            f"{wrong} is not an id: there are {vocabulary.size} {vocabulary.tokens}, from 0"
        )
    text = spell(vocabulary, array)
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text


def spell(vocabulary: Vocabulary, ids: npt.NDArray[Any]) -> Text:
    """Decode ids to one element per token: bytes if the tokens are bytes, else a string."""
    return TOKENIZERS[vocabulary.tokens].spell(vocabulary, ids)


def as_in_corpus(vocabulary: Vocabulary, text: str) -> str:
    r"""Return a string with line ends normalized to `\n`, as in a corpus.

    It is unchanged if tokens are bytes, or if the vocabulary has a carriage return, as an imported model's may.
    """
    is_text = TOKENIZERS[vocabulary.tokens].is_text and "\r" not in vocabulary.characters
    return text.replace("\r\n", "\n").replace("\r", "\n") if is_text else text


def in_tokens(vocabulary: Vocabulary, text: str) -> Text:
    """Return a string in the type of `spell`: encoded as UTF-8 if the tokens are bytes.

    Raises:
        VocabularyError: As for `encode`, if tokens are bytes.
    """
    return text if TOKENIZERS[vocabulary.tokens].is_text else encode(vocabulary, text).tobytes()


def display(vocabulary: Vocabulary, ids: npt.NDArray[Any]) -> str:
    """Decode ids for display; bytes are shown by `texts.readable`."""
    return readable(spell(vocabulary, ids))


def names_of_tokens(vocabulary: Vocabulary) -> Sequence[str | int]:
    """Return the label of each token in tables, by id: the character, or the number of the byte."""
    return spell(vocabulary, np.arange(vocabulary.size))


def unknown_characters(vocabulary: Vocabulary, text: Text) -> list[tuple[int, str]]:
    """Return the unknown characters of a text as (position counted from 0, character), in order."""
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return []
    knows = TOKENIZERS[vocabulary.tokens].knows(vocabulary)
    return [(position, character) for position, character in enumerate(text) if not knows(character)]


def count_unknown(vocabulary: Vocabulary, text: Text) -> dict[str, int]:
    """Return the count of each unknown character, most frequent first.

    Example:
        >>> count_unknown(Vocabulary("ehlo"), "hello, wow")
        {'w': 2, ' ': 1, ',': 1}
    """
    return by_frequency(Counter(character for _, character in unknown_characters(vocabulary, text)))


def by_frequency(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts sorted from largest to smallest; equal counts by character."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def drop_unknown(vocabulary: Vocabulary, text: Text) -> Text:
    """Return the text without unknown characters.

    Example:
        >>> drop_unknown(Vocabulary("ehlo"), "hello, wow")
        'helloo'
    """
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return text
    return "".join(filter(TOKENIZERS[vocabulary.tokens].knows(vocabulary), text))


def merge(vocabulary: Vocabulary, other: Vocabulary) -> Vocabulary:
    """Return the union of two vocabularies.

    Raises:
        VocabularyError: The union has more than 65,536 characters, or one vocabulary has characters and one bytes.

    Example:
        >>> merge(Vocabulary("ehlo"), Vocabulary("low")).characters
        'ehlow'
    """
    if vocabulary.tokens != other.tokens:
        raise VocabularyError("a vocabulary of characters and one of bytes have nothing in common")
    merged = sorted({*vocabulary.characters, *other.characters})
    _check_size(len(merged), "the vocabulary of the model and that of the corpus together have")
    return Vocabulary("".join(merged), vocabulary.tokens)


def translation(source: Vocabulary, target: Vocabulary) -> npt.NDArray[np.int32]:
    """Return the id in `target` of each id of `source`, `[source.size]`; -1 where `target` lacks the token."""
    ids = {character: index for index, character in enumerate(target.characters)}
    return np.array([ids.get(character, -1) for character in source.characters], np.int32)


def with_separator(vocabulary: Vocabulary, separator: str) -> Vocabulary:
    r"""Return the vocabulary with another separator.

    Args:
        vocabulary: The vocabulary of a corpus or a run.
        separator: One of its characters; with a byte vocabulary, an ASCII character. "" means no separator.

    Raises:
        ConfigError: The vocabulary lacks the separator.

    Example:
        >>> with_separator(Vocabulary("\n !abc"), "!").separator_id
        2
    """
    if separator not in vocabulary.characters:
        raise ConfigError(
            f"corpus.separator = {show(separator)}: the vocabulary lacks it, so it separates no documents; name the "
            "character between them, or leave it out (jaxrnn finetune --on-unknown extend adds new characters)"
        )
    return vocabulary._replace(separator=separator)


def describe_character(c: str) -> str:
    r"""Return a character for a message: quoted, escaped if invisible, with its code point.

    Example:
        >>> describe_character("é"), describe_character("\n")
        ("'é' (U+00E9)", "'\\n' (U+000A)")
    """
    return f"{c!r} (U+{ord(c):04X})"


def vocabulary_to_json(vocabulary: Vocabulary) -> str:
    """Return the vocabulary as JSON, in ASCII, so that no editor or encoding can change it.

    The separator is not included; it is in the config of a run.
    """
    return json.dumps({"characters": vocabulary.characters, "tokens": vocabulary.tokens}) + "\n"


def vocabulary_from_json(text: str, source: str) -> Vocabulary:
    """Return the vocabulary that `vocabulary_to_json` wrote.

    Args:
        text: The JSON.
        source: The name of the file, for messages.

    Raises:
        VocabularyError: It is not JSON, or not a vocabulary: distinct characters in order, or all bytes.
    """
    try:
        # In a corrupt file, deep nesting and huge integers raise exceptions of their own.
        content = json.loads(text)
        vocabulary = Vocabulary(content["characters"], content["tokens"])
        is_bytes = vocabulary.tokens == "bytes"
        whole = byte_vocabulary().characters if is_bytes else "".join(sorted(set(vocabulary.characters)))
        is_good = whole == vocabulary.characters and vocabulary.tokens in [*TOKENIZERS]
    except (ValueError, TypeError, KeyError, RecursionError):
        is_good = False
    if not is_good or not 0 < vocabulary.size <= _LARGEST:
        raise VocabularyError(
            f"{source} is not a vocabulary, characters sorted and each once, or all bytes: "
            "restore it from a copy of the run"
        )
    return vocabulary


def id_type(vocabulary: Vocabulary) -> "np.dtype[Any]":
    """Return the type of an id: uint8 for up to 256 tokens, else uint16."""
    return np.dtype(np.uint8 if vocabulary.size <= 256 else np.uint16)


def _require_bytes(vocabulary: Vocabulary) -> None:
    if vocabulary.tokens != "bytes":
        raise TypeError("a vocabulary of characters reads a str, not bytes")


def _check_size(size: int, having: str, remedy: str = "") -> None:
    if size > _LARGEST:
        raise VocabularyError(
            f"{having} {size:,} different characters, at most {_LARGEST:,} are possible{remedy}"
        )


def _unknown_error(vocabulary: Vocabulary, text: str) -> VocabularyError:
    (position, character), *others = unknown_characters(vocabulary, text)
    more = {0: "", 1: ", and 1 more is missing"}.get(len(others), f", and {len(others):,} more are missing")
    return VocabularyError(
        f"the vocabulary does not have {describe_character(character)}, "
        f"at position {position:,} (counted from 0){more}"
    )


# Characters.


def _build_characters(pieces: Iterable[str]) -> tuple[Vocabulary, Counts]:
    counts = np.zeros(_CODE_POINTS, np.int64)
    for piece in pieces:
        often = np.bincount(_code_points(piece))
        counts[: often.size] += often
    found = np.flatnonzero(counts)
    _check_size(found.size, "it has", '; with corpus.tokens = "bytes" any corpus can be read')
    return Vocabulary(_from_code_points(found)), counts[found]


def _encode_characters(vocabulary: Vocabulary, text: Text) -> Ids:
    if isinstance(text, bytes):
        raise TypeError("a vocabulary of characters reads a str, not bytes")
    known = _code_points(vocabulary.characters)
    # The last row is for all code points above the largest.
    table = np.full(int(known[-1]) + 2, -1, np.int32)
    table[known] = np.arange(vocabulary.size, dtype=np.int32)
    ids: Ids = np.empty(len(text), id_type(vocabulary))
    for start in range(0, len(text), _CHUNK):
        found = table.take(_code_points(text[start : start + _CHUNK]), mode="clip")
        if found.min() < 0:
            raise _unknown_error(vocabulary, text)
        ids[start : start + found.size] = found
    return ids


def _spell_characters(vocabulary: Vocabulary, ids: npt.NDArray[Any]) -> str:
    return _from_code_points(_code_points(vocabulary.characters)[ids])


# Command-line arguments may have lone surrogates (bytes that are not UTF-8); they are reported as unknown later.
def _code_points(text: str) -> npt.NDArray[Any]:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _from_code_points(code_points: npt.NDArray[Any]) -> str:
    return code_points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


# Bytes.


def _build_bytes(pieces: Iterable[bytes]) -> tuple[Vocabulary, Counts]:
    counts = np.zeros(256, np.int64)
    for piece in pieces:
        counts += np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
    return byte_vocabulary(), counts


def _encode_bytes(vocabulary: Vocabulary, text: Text) -> Ids:
    if isinstance(text, bytes):
        return np.frombuffer(text, np.uint8)
    try:
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    except UnicodeEncodeError:
        raise _unknown_error(vocabulary, text) from None


TOKENIZERS = {
    "characters": Tokenizer(
        unit="character",
        is_text=True,
        build=_build_characters,
        encode=_encode_characters,
        spell=_spell_characters,
        knows=lambda vocabulary: frozenset(vocabulary.characters).__contains__,
    ),
    "bytes": Tokenizer(
        unit="byte",
        is_text=False,
        build=_build_bytes,
        encode=_encode_bytes,
        spell=lambda _, ids: ids.astype(np.uint8).tobytes(),
        # All characters can be encoded except surrogates outside surrogateescape.
        knows=lambda _: lambda c: not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff",
    ),
}
