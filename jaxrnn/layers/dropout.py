"""Dropout: zero a random share of the features, scale the others up (Srivastava et al., 2014).

    forward     y = x * m,    m = 1 / (1 - rate) with probability 1 - rate, else 0

    backward    dx = dy * m                              the same mask

Variational dropout (Gal and Ghahramani, 2016) draws one mask for a whole sequence, so that a feature is dropped at
every time step or at none:

    forward     y_t = x_t * m                                m of one time step, `[batch, features]`

    backward    dx_t = dy_t * m

A sequence is the input of one call: with truncated BPTT, one chunk.

The mask comes from an explicit key. It is drawn again in the backward pass from the same key rather than stored: that
costs a few random bits and saves an array as large as x.

Step by step: docs/maths.md, section 9.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrnn.types import Array, Key


def dropout(key: Key | None, rate: float, xs: Array, *, variational: bool = False) -> Array:
    """Zero each element of `xs` with probability `rate` and divide the rest by `1 - rate`, so the mean stays.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        key: where the mask comes from; `None` means no dropout (evaluation, sampling). Or keys `[batch]`, one for each
            row of the last axis but one: then a row's mask does not depend on the other rows.
        rate: a Python number, `0 <= rate < 1`.
        xs: any shape; for variational dropout `[time, ...]`.
        variational: one mask for all time steps.

    Returns:
        The same shape as `xs`.

    Raises:
        ValueError: `rate` is outside `[0, 1)`, or `xs` has no time for a variational mask to stay the same over.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> dropout(None, 0.5, jnp.ones(3)).tolist()
        [1.0, 1.0, 1.0]
        >>> set(dropout(jax.random.key(0), 0.5, jnp.ones(100)).tolist()) == {0.0, 2.0}
        True
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout: rate must be in [0, 1), got {rate}")
    if variational and xs.ndim == 0:
        raise ValueError("dropout: variational wants xs [time, ...], got a scalar")
    if key is None or rate == 0.0:
        return xs
    return _masked(rate, variational, key, xs)


def dropout_mask(key: Key, rate: float, xs: Array, *, variational: bool = False) -> Array:
    """The factors of `dropout`, 0 or `1 / (1 - rate)`, in the type of `xs` and its shape; variational, of one step.

    Of several keys, one for each row of the batch (the last axis but one), each draws its row's.
    """
    shape = (1, *xs.shape[1:]) if variational else xs.shape
    # float32 by name: the same key draws the same mask whatever JAX's 64-bit setting.
    share = jnp.float32(1.0 - rate)
    if key.ndim == 0:
        keep = jax.random.bernoulli(key, share, shape)
    else:
        row = (*shape[:-2], shape[-1])
        keep = jax.vmap(lambda each: jax.random.bernoulli(each, share, row), out_axes=-2)(key)
    return keep.astype(xs.dtype) * jnp.asarray(1.0 / (1.0 - rate), xs.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _masked(rate: float, variational: bool, key: Key, xs: Array) -> Array:
    return xs * dropout_mask(key, rate, xs, variational=variational)


def _masked_fwd(rate: float, variational: bool, key: Key, xs: Array) -> tuple[Array, Key]:
    copy: Key = jax.random.clone(key)  # type: ignore[no-untyped-call]
    return _masked(rate, variational, copy, xs), key  # backward draws from it again, on purpose


def _masked_bwd(rate: float, variational: bool, key: Key, d_ys: Array) -> tuple[None, Array]:
    """The same mask again: dx = dy * m, with m drawn again from the same key and, variational, alike for every t."""
    return None, d_ys * dropout_mask(key, rate, d_ys, variational=variational)


_masked.defvjp(_masked_fwd, _masked_bwd)
