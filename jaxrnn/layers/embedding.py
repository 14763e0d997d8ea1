"""Embedding: one learned row for each token.

    forward     y_n = E[id_n]                          a row of the table for each position n

    backward    dE[v] = sum over {n : id_n = v} of dy_n

The same token may stand at many positions, and each of them adds to its row: assigning instead of adding would keep
the last one only. Token ids are integers and have no gradient.

Step by step: docs/maths.md, section 8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.types import Array, Key


class EmbeddingParams(NamedTuple):
    """The parameters of an embedding."""

    table: Array  # [vocabulary, size]


def init_embedding(
    key: Key, vocabulary_size: int, size: int, dtype: DTypeLike = jnp.float32
) -> EmbeddingParams:
    """Rows drawn from a standard normal distribution: table `[vocabulary_size, size]`."""
    return EmbeddingParams(jax.random.normal(key, (vocabulary_size, size), dtype))


@jax.custom_vjp
def embedding(params: EmbeddingParams, ids: Array) -> Array:
    """Look each id up in the table.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        params: `EmbeddingParams(table [vocabulary, size])`.
        ids: integers of any shape `[...]`, each in `0 .. vocabulary - 1`; a jitted function can't refuse others,
            it clips them.

    Returns:
        The rows, `[..., size]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_embedding(jax.random.key(0), vocabulary_size=5, size=3)
        >>> embedding(params, jnp.array([[0, 4], [4, 4]])).shape
        (2, 2, 3)
    """
    return jnp.take(params.table, ids, axis=0, mode="clip")


def _embedding_fwd(params: EmbeddingParams, ids: Array) -> tuple[Array, tuple[Array, Array]]:
    # The table itself is not needed backward, but its number of rows and its type are; it costs no copy.
    return embedding(params, ids), (params.table, ids)


def _embedding_bwd(residuals: tuple[Array, Array], d_ys: Array) -> tuple[EmbeddingParams, None]:
    """dE[v] = sum over {n : id_n = v} of dy_n: a scatter that adds, so that repeated tokens all count."""
    table, ids = residuals
    rows = jnp.clip(ids.astype(jnp.int32), 0, table.shape[0] - 1)  # as in the forward pass
    d_table = jnp.zeros_like(table).at[rows].add(d_ys.astype(table.dtype))
    return EmbeddingParams(d_table), None


embedding.defvjp(_embedding_fwd, _embedding_bwd)
