"""Dense: an affine map of the last axis.

    forward     y_n = x_n W + b                         for each position n

    backward    dx_n = dy_n W^T
                dW   = sum over n of x_n^T dy_n         one matrix product over all positions at once
                db   = sum over n of dy_n

The recurrent layers use this rule for their projections, `xs @ w_x + b`.

Step by step: docs/maths.md, section 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.product import product, weight_gradient
from jaxrnn.types import Array, Key


class DenseParams(NamedTuple):
    """The parameters of a dense layer."""

    w: Array  # [input, output]
    b: Array  # [output]


def init_dense(key: Key, input_size: int, size: int, dtype: DTypeLike = jnp.float32) -> DenseParams:
    """Glorot-uniform weights `[input_size, size]` (Glorot and Bengio, 2010), zero biases `[size]`."""
    w = jax.nn.initializers.glorot_uniform()(key, (input_size, size), dtype)
    return DenseParams(w, jnp.zeros((size,), dtype))


@jax.custom_vjp
def dense(params: DenseParams, xs: Array) -> Array:
    """Map the last axis of `xs`: `xs @ w + b`.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        params: `DenseParams(w [input, output], b [output])`.
        xs: `[..., input]`.

    Returns:
        `[..., output]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_dense(jax.random.key(0), input_size=3, size=2)
        >>> dense(params, jnp.ones((7, 4, 3))).shape
        (7, 4, 2)
    """
    ys = product(xs, params.w)
    return ys + jnp.broadcast_to(params.b, ys.shape)


def _dense_fwd(params: DenseParams, xs: Array) -> tuple[Array, tuple[Array, Array]]:
    return dense(params, xs), (params.w, xs)


def _dense_bwd(residuals: tuple[Array, Array], d_ys: Array) -> tuple[DenseParams, Array]:
    """dx = dy W^T; dW = x^T dy and db = sum of dy, over all positions at once."""
    w, xs = residuals
    d_b = d_ys.sum(axis=tuple(range(d_ys.ndim - 1)))
    return DenseParams(weight_gradient(xs, d_ys, w), d_b), product(d_ys, w.T)


dense.defvjp(_dense_fwd, _dense_bwd)
