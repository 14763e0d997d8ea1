"""minGRU (Feng et al., 2024, arXiv:2410.01201, appendix B): a GRU whose gates do not read the state.

forward     p_t = x_t W_x + b                       two blocks of H columns, in the order z, n
            z = sigmoid(p_z)                        update gate: how much is written (in gru.py, how much is kept)
            n = phi(p_n)                            candidate: what is written
            h_t = (1 - z) * h_{t-1} + z * n         linear_scan.py, with a = 1 - z, and z * n for its b

            phi(u) = u + 1/2 for u >= 0, else sigmoid(u): positive, without a jump at 0

backward    Write dh_t for the total derivative of the loss with respect to h_t; the backward recurrence yields it.

            dz_t     = dh_t * (n - h_{t-1})         z enters a with -1, and z * n with n
            dp_z     = dz_t * z * (1 - z)           sigmoid' = s (1 - s)
            dp_n     = dh_t * z * phi'(p_n)         phi' = 1 for n >= 1/2, else n (1 - n)

            All of it is elementwise, for every step at once. The gradients of W_x, b and x_t are the dense layer's.

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): keep_t * h_{t-1} replaces h_{t-1}
            everywhere above.

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.linear_scan import linear_scan, linear_scan_bwd
from jaxrnn.layers.single_step import single_step
from jaxrnn.types import Array, Key, check_resets, check_sequence


class MinGRUParams(NamedTuple):
    """The parameters of a minGRU layer; columns are the gate z and the candidate n, H of each."""

    w_x: Array  # [input, 2 * hidden]
    b: Array  # [2 * hidden]


class MinGRUCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden]


def init_min_gru(key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> MinGRUParams:
    """Draw a Glorot-uniform w_x, block by block; b is zero."""
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (input_size, hidden_size), dtype) for k in jax.random.split(key, 2)]
    return MinGRUParams(jnp.concatenate(w_x, axis=1), jnp.zeros((2 * hidden_size,), dtype))


def min_gru_carry(params: MinGRUParams, batch_size: int) -> MinGRUCarry:
    """Return the carry before the first step: zeros `[batch_size, hidden]`."""
    return MinGRUCarry(jnp.zeros((batch_size, params.b.size // 2), params.b.dtype))


def min_gru(
    params: MinGRUParams, carry: MinGRUCarry, xs: Array, *, resets: Array | None = None
) -> tuple[MinGRUCarry, Array]:
    """Run a minGRU layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `MinGRUParams(w_x [input, 2 * hidden], b [2 * hidden])`.
        carry: `MinGRUCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, input]`.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_min_gru(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, hs = min_gru(params, min_gru_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.h.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("min_gru", xs, params.w_x, params.b.size // 2, carry)
    check_resets("min_gru", resets, xs)
    return min_gru_recurrence(carry, min_gru_input_projection(params, xs), resets)


def min_gru_step(
    params: MinGRUParams, carry: MinGRUCarry, x: Array, *, reset: Array | None = None
) -> tuple[MinGRUCarry, Array]:
    """Run a minGRU layer for one time step.

    Args:
        params: as for `min_gru`.
        carry: as for `min_gru`, the state before the step.
        x: `[batch, input]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_min_gru(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = min_gru_step(params, min_gru_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(min_gru, params, carry, x, reset)


def min_gru_input_projection(params: MinGRUParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 2 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def min_gru_recurrence(
    carry: MinGRUCarry, ps: Array, resets: Array | None = None
) -> tuple[MinGRUCarry, Array]:
    """Run the layer over projected inputs `[time, batch, 2 * hidden]`; returns what `min_gru` returns."""
    outputs, _ = _min_gru_fwd(carry, ps, resets)
    return outputs


def min_gru_gates(params: MinGRUParams, xs: Array) -> dict[str, Array]:
    """Return the gate z by name, of steps that read `xs` `[..., input]`."""
    p_z, _ = jnp.split(min_gru_input_projection(params, xs), 2, axis=-1)
    return {"z": jax.nn.sigmoid(p_z)}


def phi(p: Array) -> Array:
    """Return the candidate: `p + 1/2` for p >= 0, else `sigmoid(p)`."""
    return jnp.where(p >= 0, p + 0.5, jax.nn.sigmoid(p))


def phi_slope(n: Array) -> Array:
    """Return phi' from the value n of phi."""
    return jnp.where(n >= 0.5, 1, n * (1 - n))


_Residuals = tuple[Array, Array, Array, Array, Array | None]  # z, n, h_0, hs and resets


def _min_gru_fwd(
    carry: MinGRUCarry, ps: Array, resets: Array | None
) -> tuple[tuple[MinGRUCarry, Array], _Residuals]:
    p_z, p_n = jnp.split(ps, 2, axis=-1)
    z, n = jax.nn.sigmoid(p_z), phi(p_n)
    h, hs = linear_scan(1 - z, z * n, carry.h, resets)
    return (MinGRUCarry(h), hs), (z, n, carry.h, hs, resets)


def _min_gru_bwd(
    residuals: _Residuals, cotangents: tuple[MinGRUCarry, Array]
) -> tuple[MinGRUCarry, Array, None]:
    """One reverse scan that yields da_t = dh_t * keep_t * h_{t-1} and db_t = dh_t; the rest is elementwise."""
    z, n, h_0, hs, resets = residuals
    d_carry, d_hs = cotangents
    das, dhs, dh_0, _ = linear_scan_bwd((1 - z, h_0, hs, resets), (d_carry.h, d_hs))
    dz = dhs * n - das
    dp_z = dz * z * (1 - z)
    dp_n = dhs * z * phi_slope(n)
    return MinGRUCarry(dh_0), jnp.concatenate([dp_z, dp_n], axis=-1), None


min_gru_recurrence.defvjp(_min_gru_fwd, _min_gru_bwd)
