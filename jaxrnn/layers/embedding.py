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
from jax import lax
from jax.typing import DTypeLike

from jaxrnn.types import Array, Key

_MOST_ONE_HOT = 2**28  # entries of a one-hot matrix that accelerators may multiply by: 1 GB in float32


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
    """dE[v] = sum over {n : id_n = v} of dy_n; repeated tokens all count.

    On a CPU a scatter that adds is fastest. A GPU's would add in an order that changes from run to run, and a TPU's is
    slow: there it is the product of the transposed one-hot matrix O, O[n, v] = 1 where id_n = v, with dy, while O is of
    a size to be kept.
    """
    table, ids = residuals
    rows = jnp.clip(ids.astype(jnp.int32), 0, table.shape[0] - 1)  # as in the forward pass

    def scatter(rows: Array, d_ys: Array) -> Array:
        return jnp.zeros_like(table).at[rows].add(d_ys.astype(table.dtype))

    def one_hot_product(rows: Array, d_ys: Array) -> Array:
        one_hot = jax.nn.one_hot(rows, table.shape[0], dtype=d_ys.dtype)
        positions = tuple(range(rows.ndim))
        # Each addend is exact only in full precision: 1 * dy.
        return lax.dot_general(
            one_hot, d_ys, ((positions, positions), ((), ())), precision=lax.Precision.HIGHEST
        ).astype(table.dtype)

    accelerated = one_hot_product if rows.size * table.shape[0] <= _MOST_ONE_HOT else scatter
    d_table: Array = lax.platform_dependent(rows, d_ys, cpu=scatter, default=accelerated)
    return EmbeddingParams(d_table), None


embedding.defvjp(_embedding_fwd, _embedding_bwd)
