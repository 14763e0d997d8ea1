"""A gated feed-forward layer, SwiGLU (Shazeer, 2020, arXiv:2002.05202).

forward     [a, v] = x W_in                             two blocks of `hidden` columns
            s = a * sigmoid(a)                          SiLU
            y = (s * v) W_out

backward    dw = dy W_out^T,   dv = dw * s,   ds = dw * v
            da = ds * (sigmoid(a) + s * (1 - sigmoid(a)))       (a sigmoid(a))' = sigmoid + a sigmoid (1 - sigmoid)
            dx = [da, dv] W_in^T
            dW_out = sum over positions of (s * v)^T dy,   dW_in = sum over positions of x^T [da, dv]

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.product import product, weight_gradient
from jaxrnn.types import Array, Key


class GatedMLPParams(NamedTuple):
    """The parameters of a gated feed-forward layer."""

    w_in: Array  # [size, 2 * hidden]
    w_out: Array  # [hidden, size]


def init_gated_mlp(key: Key, size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> GatedMLPParams:
    """Draw Glorot-uniform weights, block by block."""
    glorot = jax.nn.initializers.glorot_uniform()
    *keys_in, key_out = jax.random.split(key, 3)
    w_in = [glorot(k, (size, hidden_size), dtype) for k in keys_in]
    return GatedMLPParams(jnp.concatenate(w_in, axis=1), glorot(key_out, (hidden_size, size), dtype))


@jax.custom_vjp
def gated_mlp(params: GatedMLPParams, xs: Array) -> Array:
    """Map the last axis of `xs`: `(silu(a) * v) @ w_out` with `[a, v] = xs @ w_in`.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        params: `GatedMLPParams(w_in [size, 2 * hidden], w_out [hidden, size])`.
        xs: `[..., size]`.

    Returns:
        `[..., size]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_gated_mlp(jax.random.key(0), size=3, hidden_size=8)
        >>> gated_mlp(params, jnp.ones((7, 4, 3))).shape
        (7, 4, 3)
    """
    ys, _ = _gated_mlp_fwd(params, xs)
    return ys


_Residuals = tuple[GatedMLPParams, Array, Array, Array]


def _gated_mlp_fwd(params: GatedMLPParams, xs: Array) -> tuple[Array, _Residuals]:
    a, v = jnp.split(product(xs, params.w_in), 2, axis=-1)
    return product(a * jax.nn.sigmoid(a) * v, params.w_out), (params, xs, a, v)


def _gated_mlp_bwd(residuals: _Residuals, d_ys: Array) -> tuple[GatedMLPParams, Array]:
    params, xs, a, v = residuals
    sigmoid = jax.nn.sigmoid(a)
    s = a * sigmoid
    d_products = product(d_ys, params.w_out.T)
    d_a = d_products * v * (sigmoid + s * (1 - sigmoid))
    d_in = jnp.concatenate([d_a, d_products * s], axis=-1)
    d_params = GatedMLPParams(
        w_in=weight_gradient(xs, d_in, params.w_in), w_out=weight_gradient(s * v, d_ys, params.w_out)
    )
    return d_params, product(d_in, params.w_in.T)


gated_mlp.defvjp(_gated_mlp_fwd, _gated_mlp_bwd)
