"""RMSNorm (Zhang and Sennrich, 2019, arXiv:1910.07467): a vector divided by its root mean square.

forward     r = 1 / sqrt(mean(x^2) + eps),   u = r * x          the mean is over the n features of a position
            y = u * scale

backward    du = dy * scale,   dscale = sum over positions of dy * u
            As dr/dx_j = -r^3 x_j / n:

            dx = r * du - r^3 * x * mean(du * x) = r * (du - u * mean(du * u))

            The gradient is orthogonal to x but for eps: a norm leaves no trace of the length.

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.lstm import widen
from jaxrnn.types import Array

EPSILON = 1e-6


class RMSNormParams(NamedTuple):
    """The parameters of an RMSNorm."""

    scale: Array  # [features], or more axes that normalized vectors are laid out in


def init_rms_norm(*shape: int, dtype: DTypeLike = jnp.float32) -> RMSNormParams:
    """Return a scale of ones: `[features]`, or `[heads, features]` to normalize each head for itself."""
    return RMSNormParams(jnp.ones(shape, dtype))


@jax.custom_vjp
def rms_norm(params: RMSNormParams, xs: Array) -> Array:
    """Divide vectors by their root mean square, and scale each feature.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        params: `RMSNormParams(scale [..., features])`.
        xs: its last axes are those of the scale; the mean is over the very last.

    Returns:
        The shape of `xs`.

    Example:
        >>> import jax.numpy as jnp
        >>> rms_norm(init_rms_norm(2), jnp.array([[1.0, 7.0]])).round(1)
        Array([[0.2, 1.4]], dtype=float32)
    """
    ys, _ = _rms_norm_fwd(params, xs)
    return ys


def _rms_norm_fwd(params: RMSNormParams, xs: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    wide = widen(xs)
    r = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + EPSILON)
    us = wide * r
    return (us * jnp.broadcast_to(widen(params.scale), us.shape)).astype(xs.dtype), (params.scale, us, r)


def _rms_norm_bwd(residuals: tuple[Array, Array, Array], d_ys: Array) -> tuple[RMSNormParams, Array]:
    """dx = r * (du - u * mean(du * u)), and dscale = sum of dy * u."""
    scale, us, r = residuals
    wide = widen(d_ys)
    positions = tuple(range(us.ndim - scale.ndim))
    d_us = wide * jnp.broadcast_to(widen(scale), wide.shape)
    d_xs = r * (d_us - us * jnp.mean(d_us * us, axis=-1, keepdims=True))
    return RMSNormParams((wide * us).sum(positions).astype(scale.dtype)), d_xs.astype(d_ys.dtype)


rms_norm.defvjp(_rms_norm_fwd, _rms_norm_bwd)
