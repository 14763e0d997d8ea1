"""How much of a corpus a trained model's vocabulary has, and what happens to the characters that it lacks."""

from typing import Literal, NamedTuple

from jaxrnn.data.cache import TokenFile
from jaxrnn.data.download import Report
from jaxrnn.data.stream import vocabulary_of
from jaxrnn.data.tokenizing import without
from jaxrnn.data.vocabulary import (
    Text,
    Vocabulary,
    build_vocabulary,
    count_unknown,
    describe_character,
    drop_unknown,
    merge,
    unknown_characters,
)
from jaxrnn.errors import VocabularyError

OnUnknown = Literal["extend", "drop", "error"]

_SHOWN = 8  # new characters that a report names


class Coverage(NamedTuple):
    """How much of a text a vocabulary has."""

    length: int  # of the text, in characters
    new: dict[str, int]  # how often each character occurs that the vocabulary lacks, the most frequent first

    @property
    def occurrences(self) -> int:
        """How many characters of the text are new."""
        return sum(self.new.values())


def cover(
    vocabulary: Vocabulary, text: Text, on_unknown: OnUnknown, source: str
) -> tuple[Vocabulary, Text, Coverage]:
    """Reconciles the vocabulary of a model with a text that it is to learn.

    Args:
        vocabulary: the characters that the model knows.
        text: what it is to learn.
        on_unknown: what to do about other characters: `extend` the vocabulary, `drop` them from the text, or refuse
            the text with an `error`.
        source: where the text is from, for messages.

    Returns:
        The vocabulary to train with, which has every character of the old one; the text to train on; the report.

    Raises:
        VocabularyError: `on_unknown` is "error" and the model lacks a character; or it knows none of them and all
            would be dropped; or together there are more characters than possible; or the one is of characters and
            the other of bytes.
    """
    if (vocabulary.tokens == "bytes") != isinstance(text, bytes):
        other = "bytes" if isinstance(text, bytes) else "characters"
        raise VocabularyError(
            f"{source}: the model knows {vocabulary.tokens}, and the text is one of {other}"
        )
    coverage = Coverage(len(text), count_unknown(vocabulary, text))
    if not coverage.new:
        return vocabulary, text, coverage
    if on_unknown == "extend":
        return merge(vocabulary, build_vocabulary("".join(coverage.new))), text, coverage
    if on_unknown == "drop":
        known = drop_unknown(vocabulary, text)
        if not known:
            raise VocabularyError(
                f"{source}: the model knows none of its characters; try --on-unknown extend"
            )
        return vocabulary, known, coverage
    position, character = unknown_characters(vocabulary, text)[0]
    raise unknown_error(source, position, character, coverage)


def unknown_error(source: str, position: int, character: str, coverage: Coverage) -> VocabularyError:
    """What to raise of a text with characters that the model does not know, the first of which is there."""
    others = len(coverage.new) - 1
    more = {0: "", 1: " nor 1 other of its characters"}.get(
        others, f" nor {others:,} others of its characters"
    )
    return VocabularyError(
        f"{source}: the model does not know {describe_character(character)}, at position {position:,} (counted "
        f"from 0){more}; --on-unknown extend gives new characters weights, --on-unknown drop leaves them out"
    )


def describe_coverage(coverage: Coverage, on_unknown: OnUnknown) -> str:
    """Returns a report in one line."""
    if not coverage.new:
        return "the model knows every character of the text"
    share = coverage.occurrences / coverage.length
    percent = f"{share:.2%}" if share >= 0.0001 else "under 0.01%"
    listed = [
        f"{describe_character(character)} {count:,} times"
        if count > 1
        else f"{describe_character(character)} once"
        for character, count in list(coverage.new.items())[:_SHOWN]
    ]
    if len(coverage.new) > _SHOWN:
        listed.append(f"and {len(coverage.new) - _SHOWN:,} more")
    several, them = ("characters are", "them") if len(coverage.new) > 1 else ("character is", "it")
    fate = "left out of the text" if on_unknown == "drop" else f"the model gets weights for {them}"
    return (
        f"{len(coverage.new):,} {several} new to the model, {coverage.occurrences:,} of the text's {coverage.length:,} "
        f"({percent}): {', '.join(listed)}; {fate}"
    )


def cover_tokens(
    vocabulary: Vocabulary,
    tokens: TokenFile,
    on_unknown: OnUnknown,
    source: str,
    *,
    report: Report | None = None,
) -> tuple[Vocabulary, TokenFile, Coverage]:
    """What `cover` does, for a text on the disk: its record says how often each character occurs, and where.

    Raises:
        VocabularyError: as `cover`.
        SaveError: characters are dropped, and the text without them can't be written.
    """
    numbered = tokens.numbered
    found = zip(numbered.characters, numbered.counts, numbered.firsts, strict=True)
    unknown = sorted((-count, c, first) for c, count, first in found if c not in vocabulary.characters)
    coverage = Coverage(numbered.length, {c: -count for count, c, _ in unknown})
    if not unknown:
        return vocabulary, tokens, coverage
    if on_unknown == "extend":
        return merge(vocabulary, vocabulary_of(tokens)), tokens, coverage
    if on_unknown == "drop":
        if len(unknown) == len(numbered.characters):
            raise VocabularyError(
                f"{source}: the model knows none of its characters; try --on-unknown extend"
            )
        return vocabulary, without(tokens, vocabulary.characters, report=report), coverage
    position, character = min((first, c) for _, c, first in unknown)
    raise unknown_error(source, position, character, coverage)
