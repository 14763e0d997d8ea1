"""A causal convolution over time, each feature for itself, as in front of the recurrences of Mamba, Griffin and xLSTM.

forward     y_t = b + sum over k of tap_k * keep_{t,k} * x_{t-k}            k = 0 ... width - 1

            keep_{t,k} is 0 where a document begins at one of the steps t - k + 1 ... t, else 1: no output
            reads an input from before its document. The carry has the last width - 1 inputs.

backward    dx_s  = sum over k of tap_k * keep_{s+k,k} * dy_{s+k}           a convolution in the other direction
            dtap_k = sum_t sum_batch keep_{t,k} * x_{t-k} * dy_t,   db = sum_t sum_batch dy_t

            The inputs in the carry get their dx like any others; a cotangent of the returned carry is added to the dx
            of the inputs that it holds.

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import slice_in_dim
from jax.typing import DTypeLike

from jaxrnn.layers.single_step import single_step
from jaxrnn.types import Array, Key, check_resets


class CausalConvParams(NamedTuple):
    """The parameters of a causal convolution."""

    taps: Array  # [width, size], the first for the present input
    b: Array  # [size]


class CausalConvCarry(NamedTuple):
    """The carry from one time step to the next."""

    xs: Array  # [batch, (width - 1) * size], the last inputs, the oldest first


def init_causal_conv(key: Key, size: int, width: int = 4, dtype: DTypeLike = jnp.float32) -> CausalConvParams:
    """Draw taps uniform in +-1/sqrt(width), as PyTorch's `Conv1d` does; the biases are zero."""
    taps = jax.random.uniform(key, (width, size), dtype, -1, 1) / jnp.sqrt(width).astype(dtype)
    return CausalConvParams(taps, jnp.zeros((size,), dtype))


def causal_conv_carry(params: CausalConvParams, batch_size: int) -> CausalConvCarry:
    """Return the carry before the first step: zeros."""
    width, size = params.taps.shape
    return CausalConvCarry(jnp.zeros((batch_size, (width - 1) * size), params.taps.dtype))


def causal_conv(
    params: CausalConvParams, carry: CausalConvCarry, xs: Array, *, resets: Array | None = None
) -> tuple[CausalConvCarry, Array]:
    """Run a causal convolution over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `CausalConvParams(taps [width, size], b [size])`.
        carry: `CausalConvCarry(xs [batch, (width - 1) * size])`, the inputs before the first step.
        xs: `[time, batch, size]`.
        resets: bool `[time, batch]`, whether earlier inputs are forgotten before a step; None is never.

    Returns:
        The carry after the last step, and the outputs `[time, batch, size]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_causal_conv(jax.random.key(0), size=3)
        >>> carry, ys = causal_conv(params, causal_conv_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> ys.shape, carry.xs.shape
        ((5, 2, 3), (2, 9))
    """
    width, size = params.taps.shape
    if xs.ndim != 3:
        raise ValueError(f"causal_conv: xs must be [time, batch, input], got shape {xs.shape}")
    if xs.shape[2] != size:
        raise ValueError(
            f"causal_conv: xs has {xs.shape[2]} features, but the taps {(width, size)} take {size}"
        )
    if carry.xs.shape != (xs.shape[1], (width - 1) * size):
        expected = f"[batch={xs.shape[1]}, hidden={(width - 1) * size}]"
        raise ValueError(f"causal_conv: the carry must be {expected}, got shape {carry.xs.shape}")
    if carry.xs.dtype != xs.dtype:
        raise ValueError(
            f"causal_conv: xs is {xs.dtype} and the carry {carry.xs.dtype}; give both one type (xs.astype)"
        )
    check_resets("causal_conv", resets, xs)
    return _causal_conv(params, carry, xs, resets)


def causal_conv_step(
    params: CausalConvParams, carry: CausalConvCarry, x: Array, *, reset: Array | None = None
) -> tuple[CausalConvCarry, Array]:
    """Run a causal convolution for one time step.

    Args:
        params: as for `causal_conv`.
        carry: as for `causal_conv`.
        x: `[batch, size]`.
        reset: bool `[batch]`, whether earlier inputs are forgotten before the step; None forgets nothing.

    Returns:
        The carry after the step, and the output `[batch, size]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_causal_conv(jax.random.key(0), size=3)
        >>> carry, y = causal_conv_step(params, causal_conv_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> y.shape
        (2, 3)
    """
    return single_step(causal_conv, params, carry, x, reset)


@jax.custom_vjp
def _causal_conv(
    params: CausalConvParams, carry: CausalConvCarry, xs: Array, resets: Array | None
) -> tuple[CausalConvCarry, Array]:
    outputs, _ = _causal_conv_fwd(params, carry, xs, resets)
    return outputs


_Residuals = tuple[Array, Array, list[Array] | None]


def _causal_conv_fwd(
    params: CausalConvParams, carry: CausalConvCarry, xs: Array, resets: Array | None
) -> tuple[tuple[CausalConvCarry, Array], _Residuals]:
    width, size = params.taps.shape
    time, batch_size, _ = xs.shape
    earlier = carry.xs.reshape(batch_size, width - 1, size).swapaxes(0, 1)
    padded = jnp.concatenate([earlier, xs])  # step t is at t + width - 1
    blocked = None if resets is None else _blocked(resets, width)

    ys = jnp.broadcast_to(params.b, xs.shape)
    for k in range(width):
        start = width - 1 - k
        ys = (
            ys
            + _kept(slice_in_dim(padded, start, start + time), blocked, k, time) * params.taps[k][None, None]
        )

    ends = [(time + width - 2 - k, time + width - 1 - k) for k in range(width - 1)]
    last = [_kept(slice_in_dim(padded, *ends[k]), blocked, k, 1) for k in reversed(range(width - 1))]
    rows = jnp.concatenate([padded[:0], *last]).swapaxes(0, 1).reshape(carry.xs.shape)
    return (CausalConvCarry(rows), ys), (params.taps, padded, blocked)


def _causal_conv_bwd(
    residuals: _Residuals, cotangents: tuple[CausalConvCarry, Array]
) -> tuple[CausalConvParams, CausalConvCarry, Array, None]:
    taps, padded, blocked = residuals
    width, size = taps.shape
    d_carry, d_ys = cotangents
    time, batch_size, _ = d_ys.shape
    d_padded = jnp.zeros_like(padded)
    d_taps = []
    for k in range(width):
        start = width - 1 - k
        d_kept = _kept(d_ys, blocked, k, time)
        d_padded = d_padded.at[start : start + time].add(d_kept * taps[k][None, None])
        d_taps.append((slice_in_dim(padded, start, start + time) * d_kept).sum((0, 1)))
    d_last = d_carry.xs.reshape(batch_size, width - 1, size).swapaxes(0, 1)
    for k in range(width - 1):
        row = time + width - 2 - k
        d_padded = d_padded.at[row].add(_kept(d_last[width - 2 - k][None], blocked, k, 1)[0])
    d_earlier = d_padded[: width - 1].swapaxes(0, 1).reshape(batch_size, -1)
    d_params = CausalConvParams(jnp.stack(d_taps).astype(taps.dtype), d_ys.sum((0, 1)).astype(taps.dtype))
    return d_params, CausalConvCarry(d_earlier), d_padded[width - 1 :], None


_causal_conv.defvjp(_causal_conv_fwd, _causal_conv_bwd)


def _blocked(resets: Array, width: int) -> list[Array]:
    """Return for each k, bool `[time + width - 1, batch]`, whether a document begins at step t - k + 1 ... t."""
    none = jnp.zeros((width - 1, resets.shape[1]), bool)
    padded = jnp.concatenate([none, resets])
    blocked = [jnp.zeros_like(padded)]
    for k in range(1, width):
        back = slice_in_dim(
            jnp.concatenate([none[: k - 1], padded]), 0, padded.shape[0]
        )  # k - 1 steps earlier
        blocked.append(blocked[-1] | back)
    return blocked


def _kept(xs: Array, blocked: list[Array] | None, k: int, time: int) -> Array:
    """Return `keep_{t,k} * x` for the last `time` steps; an input that is not finite becomes zero as well."""
    if blocked is None:
        return xs
    steps = blocked[k].shape[0]
    return jnp.where(slice_in_dim(blocked[k], steps - time, steps)[..., None], 0, xs)
