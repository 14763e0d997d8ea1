"""minLSTM (Feng et al., 2024, arXiv:2410.01201, appendix B): an LSTM whose gates do not read the state.

forward     p_t = x_t W_x + b                       three blocks of H columns, in the order i, f, g
            f = sigmoid(p_f) / (sigmoid(p_f) + sigmoid(p_i))
              = sigmoid(log sigmoid(p_f) - log sigmoid(p_i))          forget gate: how much is kept; finite for any p
            i = 1 - f                               input gate: how much is written
            g = phi(p_g)                            candidate: what is written (phi: min_gru.py)
            h_t = f * h_{t-1} + i * g               linear_scan.py, with a = f, and i * g for its b

backward    Write dh_t for the total derivative of the loss with respect to h_t; the backward recurrence yields it.
            With d = log sigmoid(p_f) - log sigmoid(p_i):

            df_t     = dh_t * (h_{t-1} - g)         f enters a with 1, and i * g = (1 - f) * g with -g
            dd_t     = df_t * f * (1 - f)           sigmoid' = s (1 - s)
            dp_f     = dd_t * (1 - sigmoid(p_f))    (log sigmoid)' = 1 - sigmoid
            dp_i     = -dd_t * (1 - sigmoid(p_i))
            dp_g     = dh_t * i * phi'(p_g)         phi' = 1 for g >= 1/2, else g (1 - g)

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
from jaxrnn.layers.min_gru import phi, phi_slope
from jaxrnn.layers.single_step import single_step
from jaxrnn.types import Array, Key, check_resets, check_sequence


class MinLSTMParams(NamedTuple):
    """The parameters of a minLSTM layer; columns are the gates i and f and the candidate g, H of each."""

    w_x: Array  # [input, 3 * hidden]
    b: Array  # [3 * hidden]


class MinLSTMCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden]


def init_min_lstm(
    key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32
) -> MinLSTMParams:
    """Draw a Glorot-uniform w_x, block by block; b is zero."""
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (input_size, hidden_size), dtype) for k in jax.random.split(key, 3)]
    return MinLSTMParams(jnp.concatenate(w_x, axis=1), jnp.zeros((3 * hidden_size,), dtype))


def min_lstm_carry(params: MinLSTMParams, batch_size: int) -> MinLSTMCarry:
    """Return the carry before the first step: zeros `[batch_size, hidden]`."""
    return MinLSTMCarry(jnp.zeros((batch_size, params.b.size // 3), params.b.dtype))


def min_lstm(
    params: MinLSTMParams, carry: MinLSTMCarry, xs: Array, *, resets: Array | None = None
) -> tuple[MinLSTMCarry, Array]:
    """Run a minLSTM layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `MinLSTMParams(w_x [input, 3 * hidden], b [3 * hidden])`.
        carry: `MinLSTMCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, input]`.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_min_lstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, hs = min_lstm(params, min_lstm_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.h.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("min_lstm", xs, params.w_x, params.b.size // 3, carry)
    check_resets("min_lstm", resets, xs)
    return min_lstm_recurrence(carry, min_lstm_input_projection(params, xs), resets)


def min_lstm_step(
    params: MinLSTMParams, carry: MinLSTMCarry, x: Array, *, reset: Array | None = None
) -> tuple[MinLSTMCarry, Array]:
    """Run a minLSTM layer for one time step.

    Args:
        params: as for `min_lstm`.
        carry: as for `min_lstm`, the state before the step.
        x: `[batch, input]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_min_lstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = min_lstm_step(params, min_lstm_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(min_lstm, params, carry, x, reset)


def min_lstm_input_projection(params: MinLSTMParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 3 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def min_lstm_recurrence(
    carry: MinLSTMCarry, ps: Array, resets: Array | None = None
) -> tuple[MinLSTMCarry, Array]:
    """Run the layer over projected inputs `[time, batch, 3 * hidden]`; returns what `min_lstm` returns."""
    outputs, _ = _min_lstm_fwd(carry, ps, resets)
    return outputs


def min_lstm_gates(params: MinLSTMParams, xs: Array) -> dict[str, Array]:
    """Return the gates i and f by name, of steps that read `xs` `[..., input]`."""
    p_if, _ = jnp.split(min_lstm_input_projection(params, xs), [2 * params.b.size // 3], axis=-1)
    f = forget_gate(p_if)
    return {"i": 1 - f, "f": f}


def forget_gate(p_if: Array) -> Array:
    """Return f from the pre-activations of i and f, `[..., 2 * hidden]`."""
    log_i, log_f = jnp.split(jax.nn.log_sigmoid(p_if), 2, axis=-1)
    return jax.nn.sigmoid(log_f - log_i)


# p_i and p_f, f and g of every step, h_0, hs and resets.
_Residuals = tuple[Array, Array, Array, Array, Array, Array | None]


def _min_lstm_fwd(
    carry: MinLSTMCarry, ps: Array, resets: Array | None
) -> tuple[tuple[MinLSTMCarry, Array], _Residuals]:
    p_if, p_g = jnp.split(ps, [2 * carry.h.shape[-1]], axis=-1)
    f, g = forget_gate(p_if), phi(p_g)
    h, hs = linear_scan(f, (1 - f) * g, carry.h, resets)
    return (MinLSTMCarry(h), hs), (p_if, f, g, carry.h, hs, resets)


def _min_lstm_bwd(
    residuals: _Residuals, cotangents: tuple[MinLSTMCarry, Array]
) -> tuple[MinLSTMCarry, Array, None]:
    """One reverse scan that yields da_t = dh_t * keep_t * h_{t-1} and db_t = dh_t; the rest is elementwise."""
    p_if, f, g, h_0, hs, resets = residuals
    d_carry, d_hs = cotangents
    das, dhs, dh_0, _ = linear_scan_bwd((f, h_0, hs, resets), (d_carry.h, d_hs))
    df = das - dhs * g
    dd = df * f * (1 - f)
    slope_i, slope_f = jnp.split(jax.nn.sigmoid(-p_if), 2, axis=-1)  # 1 - sigmoid
    dp_f = dd * slope_f
    dp_i = -dd * slope_i
    dp_g = dhs * (1 - f) * phi_slope(g)
    return MinLSTMCarry(dh_0), jnp.concatenate([dp_i, dp_f, dp_g], axis=-1), None


min_lstm_recurrence.defvjp(_min_lstm_fwd, _min_lstm_bwd)
