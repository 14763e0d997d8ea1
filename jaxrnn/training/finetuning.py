"""Fine-tuning: the parameters of a model taken to another vocabulary, character by character.

An id is a place in a sorted list, and one new character moves all that come after it: weights kept by position would
turn the old text into a cipher.
"""

import jax.numpy as jnp

from jaxrnn.data.vocabulary import Vocabulary, translation
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams, init_embedding
from jaxrnn.types import Key, Params


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
    kept = translation(old, new)
    if (kept < 0).any():
        raise ValueError("a vocabulary can only be extended: the new one lacks a character of the old one")
    if old == new:
        return params
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
