"""Adaptation of a model's parameters to a larger vocabulary, for fine-tuning.

Ids are positions in a sorted list, and a new character shifts the ids after it. Rows are therefore mapped by character.
"""

import jax.numpy as jnp

from jaxrnn.data.vocabulary import Vocabulary, translation
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams, init_embedding
from jaxrnn.types import Key, Params


def adapt_params(params: Params, old: Vocabulary, new: Vocabulary, key: Key) -> Params:
    """Extend the parameters of a model to a larger vocabulary.

    Known characters keep their embedding rows and their columns of the output layer unchanged, and so do the layers
    between. A new character gets a freshly initialized embedding row. Its output column is the mean of all columns,
    which favors no context, and its bias is the lowest one, so that the model initially predicts it as rarely as its
    rarest character.

    Args:
        params: Parameters of a model with the vocabulary `old`.
        old: The vocabulary of the model.
        new: A vocabulary that contains `old`.
        key: Random key for the new embedding rows.

    Returns:
        The parameters of a model with the vocabulary `new`.

    Raises:
        ValueError: `new` lacks a character of `old`, or one has characters and the other bytes.
    """
    if old.tokens != new.tokens:
        raise ValueError(f"the weights are for {old.tokens}, but the new vocabulary has {new.tokens}")
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
