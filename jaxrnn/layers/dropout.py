"""Dropout: zero a random share of the features, scale the others up (Srivastava et al., 2014).

    forward     y = x * m,    m = 1 / (1 - rate) with probability 1 - rate, else 0

    backward    dx = dy * m                              the same mask

The mask comes from an explicit key. It is drawn again in the backward pass from the same key rather than stored: that
costs a few random bits and saves an array as large as x.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrnn.types import Array, Key


def dropout(key: Key | None, rate: float, xs: Array) -> Array:
    """Zero each element of `xs` with probability `rate` and divide the rest by `1 - rate`, so the mean stays.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        key: where the mask comes from; `None` means no dropout (evaluation, sampling).
        rate: a Python number, `0 <= rate < 1`.
        xs: any shape.

    Returns:
        The same shape as `xs`.

    Raises:
        ValueError: `rate` is outside `[0, 1)`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> dropout(None, 0.5, jnp.ones(3)).tolist()
        [1.0, 1.0, 1.0]
        >>> set(dropout(jax.random.key(0), 0.5, jnp.ones(100)).tolist()) == {0.0, 2.0}
        True
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout: rate must be in [0, 1), got {rate}")
    if key is None or rate == 0.0:
        return xs
    return _masked(rate, key, xs)


def dropout_mask(key: Key, rate: float, xs: Array) -> Array:
    """The factors of `dropout`, 0 or `1 / (1 - rate)`, in the shape and type of `xs`."""
    # float32 by name: the same key draws the same mask whatever JAX's 64-bit setting.
    keep = jax.random.bernoulli(key, jnp.float32(1.0 - rate), xs.shape)
    return keep.astype(xs.dtype) * jnp.asarray(1.0 / (1.0 - rate), xs.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _masked(rate: float, key: Key, xs: Array) -> Array:
    return xs * dropout_mask(key, rate, xs)


def _masked_fwd(rate: float, key: Key, xs: Array) -> tuple[Array, Key]:
    return _masked(rate, key, xs), key


def _masked_bwd(rate: float, key: Key, d_ys: Array) -> tuple[None, Array]:
    """The same mask again: dx = dy * m, with m drawn again from the same key."""
    return None, d_ys * dropout_mask(key, rate, d_ys)


_masked.defvjp(_masked_fwd, _masked_bwd)
