"""From one text to another: the vocabulary and the parameters of a model that goes on to learn a new text.

Everything goes by character. An id is only a place in a sorted list, and one new character moves all that come
after it: weights kept by position would turn the old text into a cipher.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp

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
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams, init_embedding
from jaxrnn.types import Key, Params

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


def adapt_params(params: Params, old: Vocabulary, new: Vocabulary, key: Key) -> Params:
    """Moves the parameters of a model to a larger vocabulary, character by character.

    A known character keeps its row of the embedding and its column of the last dense layer, bit for bit; all between
    them stays as it is. A new character gets an embedding as `init_embedding` draws them, so that no two are alike; a
    column of the last layer that is the mean of all others, for that says nothing about when it comes; and the lowest
    bias there is, so that the model goes on to expect it as rarely as its rarest character until it learns better.

    Args:
        params: of a model with the vocabulary `old`.
        old: the characters it knows.
        new: those and others.
        key: for the embeddings of the others.

    Returns:
        The parameters of a model with the vocabulary `new`.

    Raises:
        ValueError: `new` lacks a character of `old`, or the one is of characters and the other of bytes.
    """
    if old.tokens != new.tokens:
        raise ValueError(f"weights of {old.tokens} are no weights of {new.tokens}")
    places = {character: index for index, character in enumerate(new.characters)}
    if not set(old.characters) <= places.keys():
        raise ValueError("a vocabulary can only be extended: the new one lacks a character of the old one")
    if old == new:
        return params
    kept = jnp.array([places[character] for character in old.characters])
    embedding, *between, head = params
    assert isinstance(embedding, EmbeddingParams)  # the config's rule: an embedding first, a dense layer last
    assert isinstance(head, DenseParams)
    table = init_embedding(key, new.size, embedding.table.shape[1], embedding.table.dtype).table
    w = jnp.broadcast_to(head.w.mean(1, keepdims=True), (head.w.shape[0], new.size))
    b = jnp.full(new.size, head.b.min())
    return (
        EmbeddingParams(table.at[kept].set(embedding.table)),
        *between,
        DenseParams(w.at[:, kept].set(head.w), b.at[kept].set(head.b)),
    )
