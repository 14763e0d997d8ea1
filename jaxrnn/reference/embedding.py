"""Embedding: each token picks its row of a table.

    x[t, b] = table[ids[t, b]]                                                       (1)

It is a dense layer without bias on one-hot vectors: one_hot(id) @ table is row `id`. So rule (3) of
dense.py, d_w = x.T @ d_y, is the whole derivation. With one-hot x, row v of x.T @ d_y sums d_y over just
those positions where token v stood:

    d_table[v] = sum of d_x[t, b] over all t, b with ids[t, b] = v                   (2)

A token that occurs twice collects two terms. An id is an integer and has no gradient.

Step by step: docs/maths.md, section 8.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array


class EmbeddingParams(NamedTuple):
    """Parameters of an embedding."""

    table: Array  # [V, E]


class EmbeddingResiduals(NamedTuple):
    """The residuals of an embedding: the row of each position."""

    ids: Array  # [T, B], integers


def init_embedding(rng: np.random.Generator, vocabulary_size: int, size: int) -> EmbeddingParams:
    """Rows of independent normal numbers of variance 1."""
    return EmbeddingParams(table=rng.standard_normal((vocabulary_size, size)))


def embedding_forward(params: EmbeddingParams, ids: Array) -> tuple[Array, EmbeddingResiduals]:
    """Token ids [T, B] -> xs [T, B, E], residuals."""
    return params.table[ids], EmbeddingResiduals(ids)  # (1)


def embedding_backward(
    params: EmbeddingParams, residuals: EmbeddingResiduals, d_xs: Array
) -> EmbeddingParams:
    """Map d_xs [T, B, E] to the gradient of the table [V, E]."""
    d_table = np.zeros_like(params.table)
    time, batch = residuals.ids.shape
    for t in range(time):
        for b in range(batch):
            # (2). Not `d_table[ids] += d_xs` for all positions at once: NumPy then writes a row that occurs
            # twice only once, with the last value, and the gradient of every repeated token is wrong.
            d_table[residuals.ids[t, b]] += d_xs[t, b]
    return EmbeddingParams(d_table)
