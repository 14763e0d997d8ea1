"""Vocabularies and tokenizers: the tokens that a model knows, their ids, and how text becomes ids and ids become text.

A vocabulary of characters is the distinct characters of a corpus in the order of their code points, so that the same
corpus gives the same ids in every process and on every machine; the id of a character is its index.

Where the tokens are bytes there is one vocabulary, of all 256, and a byte is its own id. A `str` stands there for its
bytes in UTF-8, and each byte that is not UTF-8 for the lone surrogate that Python has for it (PEP 383,
"surrogateescape"), so that any bytes can be written as a `str` and come back unchanged.

Documents. A corpus of many short documents (names, messages, poems, articles) has a separator between them, one
character or one byte. A document begins with the separator before it: the state of a model is reset just before it
reads that token, so the predictions after it depend on nothing before it, in training, evaluation and sampling alike;
and a sample whose prompt is the separator begins as every document did.

Everything that depends on the kind of token is in `TOKENIZERS`; another tokenizer joins as another row.
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
    """The characters a model knows: sorted by code point, each once; the id of a character is its index.

    Where `tokens` are bytes, it is `byte_vocabulary()`, and the character of id i, `chr(i)`, stands for the byte i.
    `separator` is the character at which a document begins; "" is none.
    """

    characters: str
    tokens: Tokens = "characters"
    separator: str = ""

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.characters)

    @property
    def unit(self) -> str:
        """The word for one token in messages."""
        return TOKENIZERS[self.tokens].unit

    @property
    def separator_id(self) -> int | None:
        """The id before which a model's state is reset; None without a separator."""
        return self.characters.index(self.separator) if self.separator else None


class Tokenizer(NamedTuple):
    """All that depends on the kind of token; its name, the key in `TOKENIZERS`, is the plural of `unit`."""

    unit: str  # what a message calls one token
    is_text: bool  # whether a corpus is UTF-8 text whose line ends are normalized, or any bytes as they are
    build: Callable[[Iterable[Any]], tuple[Vocabulary, Counts]]  # from pieces of a corpus; and its counts
    encode: Callable[[Vocabulary, Any], Ids]
    spell: Callable[[Vocabulary, npt.NDArray[Any]], Text]  # the inverse; one element a token
    knows: Callable[[Vocabulary], Callable[[str], bool]]  # whether a character can be encoded


def byte_vocabulary() -> Vocabulary:
    """Return the vocabulary of everything that is made of bytes: all 256 of them.

    Example:
        >>> encode(byte_vocabulary(), "né")
        array([110, 195, 169], dtype=uint8)
    """
    return Vocabulary("".join(map(chr, range(256))), "bytes")


def build_vocabulary(text: Text) -> Vocabulary:
    """Return the vocabulary of a text: each of its characters once; of bytes, all that there are.

    Raises:
        VocabularyError: The text has no characters, or more than 65,536 different ones.

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
        vocabulary: the tokens that have ids.
        text: S characters; with a vocabulary of bytes, a `str` stands for its bytes in UTF-8, and bytes are their own
            ids, not copied and read-only.

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
    """Return the text that ids spell; the inverse of `encode`.

    Args:
        vocabulary: the tokens that have ids.
        ids: integers [S]. Where they are bytes, any of them: one that is not UTF-8 becomes a lone surrogate.

    Raises:
        ValueError: The ids are not one row of integers.
        VocabularyError: One of them is not an id of this vocabulary.

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
    """Return what ids spell, one element a token: bytes where these are the tokens, else the text of `decode`."""
    return TOKENIZERS[vocabulary.tokens].spell(vocabulary, ids)


def as_in_corpus(vocabulary: Vocabulary, text: str) -> str:
    r"""Return a text with every line ending as `\n`, as a corpus has them.

    Unchanged where tokens are bytes, or where the vocabulary has a carriage return, as that of an imported model may.
    """
    is_text = TOKENIZERS[vocabulary.tokens].is_text and "\r" not in vocabulary.characters
    return text.replace("\r\n", "\n").replace("\r", "\n") if is_text else text


def in_tokens(vocabulary: Vocabulary, text: str) -> Text:
    """Return a text as `spell` returns it: its bytes in UTF-8 where these are the tokens.

    Raises:
        VocabularyError: as `encode`, where tokens are bytes.
    """
    return text if TOKENIZERS[vocabulary.tokens].is_text else encode(vocabulary, text).tobytes()


def display(vocabulary: Vocabulary, ids: npt.NDArray[Any]) -> str:
    """Return what ids spell for people to read: of bytes, what `texts.readable` shows."""
    return readable(spell(vocabulary, ids))


def names_of_tokens(vocabulary: Vocabulary) -> Sequence[str | int]:
    """Return the label of each token in tables, by id: the character, or the number of the byte."""
    return spell(vocabulary, np.arange(vocabulary.size))


def unknown_characters(vocabulary: Vocabulary, text: Text) -> list[tuple[int, str]]:
    """Return every character of the text that the vocabulary lacks: (position counted from 0, character), in order."""
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return []
    knows = TOKENIZERS[vocabulary.tokens].knows(vocabulary)
    return [(position, character) for position, character in enumerate(text) if not knows(character)]


def count_unknown(vocabulary: Vocabulary, text: Text) -> dict[str, int]:
    """Return how often each character occurs that the vocabulary lacks, the most frequent first.

    Example:
        >>> count_unknown(Vocabulary("ehlo"), "hello, wow")
        {'w': 2, ' ': 1, ',': 1}
    """
    return by_frequency(Counter(character for _, character in unknown_characters(vocabulary, text)))


def by_frequency(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts in order, the largest first; equal ones by character."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def drop_unknown(vocabulary: Vocabulary, text: Text) -> Text:
    """Return the text without the characters that the vocabulary lacks.

    Example:
        >>> drop_unknown(Vocabulary("ehlo"), "hello, wow")
        'helloo'
    """
    if isinstance(text, bytes):
        _require_bytes(vocabulary)
        return text
    return "".join(filter(TOKENIZERS[vocabulary.tokens].knows(vocabulary), text))


def merge(vocabulary: Vocabulary, other: Vocabulary) -> Vocabulary:
    """Return the vocabulary of all characters of both.

    Raises:
        VocabularyError: Together they have more than 65,536, or one is of characters and the other of bytes.

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
        vocabulary: that of a corpus, or of a run.
        separator: one of its characters, of bytes an ASCII one; "" is none.

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
    r"""Return a character as a message shows it: quoted, escaped where it is invisible, with its code point.

    Example:
        >>> describe_character("é"), describe_character("\n")
        ("'é' (U+00E9)", "'\\n' (U+000A)")
    """
    return f"{c!r} (U+{ord(c):04X})"


def vocabulary_to_json(vocabulary: Vocabulary) -> str:
    """Return the vocabulary as JSON text, in ASCII, so that no editor or encoding can change it.

    The separator is not in it: that of a run is in its config.
    """
    return json.dumps({"characters": vocabulary.characters, "tokens": vocabulary.tokens}) + "\n"


def vocabulary_from_json(text: str, source: str) -> Vocabulary:
    """Return the vocabulary that `vocabulary_to_json` wrote.

    Args:
        text: the JSON.
        source: where it comes from, for messages.

    Raises:
        VocabularyError: It is not JSON, or not a vocabulary: a string of characters, sorted, each once; or all bytes.
    """
    try:
        # A corrupt file may hold anything: deep nesting and huge integers have their own exceptions.
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
    # The last place is for all code points above the largest.
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


# A command line can hand over lone surrogates (bytes that are not UTF-8): they pass here, to be named as unknown.
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
        # Each character has bytes, but for the surrogates that stand for none.
        knows=lambda _: lambda c: not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff",
    ),
}
