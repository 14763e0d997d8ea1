"""Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate: Gers, Schmidhuber and Cummins, 2000).

forward     z_t = x_t W_x + b + h_{t-1} W_h         four blocks of H columns, in the order i, f, g, o
            i = sigmoid(z_i)                        input gate: how much is written
            f = sigmoid(z_f)                        forget gate: how much is kept
            g = tanh(z_g)                           candidate: what is written
            o = sigmoid(z_o)                        output gate: how much is shown
            c_t = f * c_{t-1} + i * g
            h_t = o * tanh(c_t)

backward    Write dh_t and dc_t for the total derivatives of the loss with respect to h_t and c_t. From the last step to
            the first, with dh_t = cotangent of h_t + what step t + 1 sends back:

            dc_t     = dc from step t + 1 + dh_t * o * (1 - tanh(c_t)^2)      c_t reaches h_t through tanh
            dz_o     = dh_t * tanh(c_t) * o * (1 - o)                         sigmoid' = s (1 - s)
            dz_i     = dc_t * g * i * (1 - i)
            dz_f     = dc_t * c_{t-1} * f * (1 - f)
            dz_g     = dc_t * i * (1 - g^2)                                   tanh' = 1 - tanh^2
            dc_{t-1} = dc_t * f                                               the path on which gradients last
            dh_{t-1} = dz_t W_h^T                                             to which its own cotangent is added

            The loop yields only dz. Every weight's gradient is one matrix product after it:

            dW_h = sum_t h_{t-1}^T dz_t,   dW_x = sum_t x_t^T dz_t,   db = sum_t sum_batch dz_t,   dx_t = dz_t W_x^T

            (the last three are the dense layer's rule). Kept from the forward pass: the four gates, c_{t-1},
            tanh(c_t), and the hidden states, which are the layer's output anyway.

mask        A mask m [batch, hidden], one for all steps, on the state that the weights read (variational dropout, Gal
            and Ghahramani, 2016): z_t = x_t W_x + b + (m * h_{t-1}) W_h. So dh_{t-1} = m * (dz_t W_h^T), and
            dW_h = sum_t (m * h_{t-1})^T dz_t. The mask itself, drawn at random, has no gradient.

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): keep_t * h_{t-1} and keep_t * c_{t-1}
            replace h_{t-1} and c_{t-1} everywhere above, in dz_f and dW_h too, and what goes back is
            dh_{t-1} = keep_t * (dz_t W_h^T) and dc_{t-1} = keep_t * dc_t * f.

Step by step: docs/maths.md, section 4.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.layers.product import loop_product, product, weight_gradient
from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.single_step import single_step
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import NO_GRADIENT, Array, Key, Params, check_mask, check_resets, check_sequence


class LSTMParams(NamedTuple):
    """The parameters of an LSTM layer; columns are the gates i, f, g, o, H of each."""

    w_x: Array  # [input, 4 * hidden]
    w_h: Array  # [hidden, 4 * hidden]
    b: Array  # [4 * hidden]


class LSTMCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden], the output
    c: Array  # [batch, hidden], the cell


def init_lstm(key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> LSTMParams:
    """Draw a Glorot-uniform w_x and an orthogonal w_h, gate by gate; b is zero, but 1 for the forget gate.

    A forget gate that starts open lets gradients pass from the first step on (Jozefowicz et al., 2015).
    """
    key_x, key_h = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (input_size, hidden_size), dtype) for k in jax.random.split(key_x, 4)]
    w_h = [orthogonal(k, hidden_size, dtype) for k in jax.random.split(key_h, 4)]
    b = jnp.zeros((4, hidden_size), dtype).at[1].set(1)
    return LSTMParams(jnp.concatenate(w_x, axis=1), jnp.concatenate(w_h, axis=1), b.reshape(-1))


def lstm_carry(params: Params, batch_size: int) -> LSTMCarry:
    """Return the carry of an LSTM or mogrifier LSTM before the first step: zeros, `[batch_size, hidden]` each."""
    shape, dtype = (batch_size, params.w_h.shape[0]), params.w_h.dtype
    return LSTMCarry(h=jnp.zeros(shape, dtype), c=jnp.zeros(shape, dtype))  # either may be donated


def lstm(
    params: LSTMParams,
    carry: LSTMCarry,
    xs: Array,
    *,
    mask: Array | None = None,
    resets: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """Run an LSTM layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `LSTMParams(w_x [input, 4 * hidden], w_h [hidden, 4 * hidden], b [4 * hidden])`.
        carry: `LSTMCarry(h, c)`, each `[batch, hidden]`, the state before the first step.
        xs: `[time, batch, input]`.
        mask: factors `[batch, hidden]` on h where it enters w_h, the same at all steps, for example from
            `dropout_mask`; a constant, without a gradient. None: no mask.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_lstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, hs = lstm(params, lstm_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.c.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("lstm", xs, params.w_x, params.w_h.shape[0], carry)
    check_mask("lstm", mask, carry.h)
    check_resets("lstm", resets, xs)
    return lstm_recurrence(params, carry, lstm_input_projection(params, xs), resets, mask)


def lstm_step(
    params: LSTMParams,
    carry: LSTMCarry,
    x: Array,
    *,
    mask: Array | None = None,
    reset: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """Run an LSTM layer for one time step.

    Args:
        params: as for `lstm`.
        carry: as for `lstm`, the state before the step.
        x: `[batch, input]`.
        mask: factors `[batch, hidden]`, as for `lstm`; None is no mask.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_lstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = lstm_step(params, lstm_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(lstm, params, carry, x, reset, mask=mask)


def lstm_input_projection(params: LSTMParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 4 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def lstm_recurrence(
    params: LSTMParams,
    carry: LSTMCarry,
    zs: Array,
    resets: Array | None = None,
    mask: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """Run the time loop over projected inputs; returns what `lstm` returns.

    Args:
        params: as for `lstm`; only w_h is read, and only w_h gets a gradient.
        carry: as for `lstm`.
        zs: `[time, batch, 4 * hidden]`, the projected inputs.
        resets: as for `lstm`.
        mask: factors `[batch, hidden]`, as for `lstm`; None is no mask.
    """
    outputs, _ = _lstm_fwd(params, carry, zs, resets, mask)
    return outputs


def lstm_cell(z: Array, c_before: Array) -> tuple[Array, Array, LSTMCarry]:
    """Return the four gates side by side, tanh(c_t), and h_t and c_t, from z_t `[batch, 4 * hidden]` and c_{t-1}."""
    # sigmoid(z) = tanh(z / 2) / 2 + 1/2: with one half for i, f and o, and 1 for g, one tanh makes all four gates.
    wide = widen(z)
    # By NumPy, as a constant of the program: a GPU would compute it again at every step.
    each = np.repeat(np.array([0.5, 0.5, 1, 0.5], wide.dtype), c_before.shape[-1])
    scale = jnp.broadcast_to(each, z.shape)
    gates = (jnp.tanh(wide * scale) * scale + (1 - scale)).astype(z.dtype)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = f * c_before + i * g
    tanh_c = jnp.tanh(c)
    return gates, tanh_c, LSTMCarry(o * tanh_c, c)


def lstm_cell_bwd(
    gates: Array, c_before: Array, tanh_c: Array, dh: Array, dc_after: Array
) -> tuple[Array, Array]:
    """Return dz_t and dc_{t-1}, from dh_t and what step t + 1 sends to c_t: the equations above for one step."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    dc = dc_after + dh * o * (1 - tanh_c * tanh_c)
    dz_i = dc * g * i * (1 - i)
    dz_f = dc * c_before * f * (1 - f)
    dz_g = dc * i * (1 - g * g)
    dz_o = dh * tanh_c * o * (1 - o)
    return jnp.concatenate([dz_i, dz_f, dz_g, dz_o], axis=-1), dc * f


def lstm_gates(params: LSTMParams, carry: LSTMCarry, xs: Array) -> dict[str, Array]:
    """Return the gates i, f, g and o by name, of steps that read `xs` `[..., input]` and `carry` `[..., hidden]`."""
    z = lstm_input_projection(params, xs) + product(carry.h, params.w_h)
    gates, _, _ = lstm_cell(z, carry.c)
    return dict(zip("ifgo", jnp.split(gates, 4, axis=-1), strict=True))


# Of every step: h_t, the four gates, keep_t * c_{t-1} and tanh(c_t).
_Kept = tuple[Array, Array, Array, Array]
_Residuals = tuple[Array, Array, Array | None, Array | None, _Kept]


def _lstm_fwd(
    params: LSTMParams, carry: LSTMCarry, zs: Array, resets: Array | None, mask: Array | None
) -> tuple[tuple[LSTMCarry, Array], _Residuals]:
    times_w_h = loop_product(params.w_h)

    def step(carry: LSTMCarry, reset: Array | None, here: _Kept) -> tuple[LSTMCarry, _Kept]:
        carry = reset_state(carry, reset)
        z = here[1] + times_w_h(masked(carry.h, mask))
        gates, tanh_c, after = lstm_cell(z, carry.c)
        return after, (after.h, gates, carry.c, tanh_c)

    hs, c_prev, tanh_cs = (blank(zs.shape[0], carry.h) for _ in range(3))
    # The gates take the place of zs.
    carry_out, kept = time_loop(step, carry, resets, (hs, zs, c_prev, tanh_cs))
    return (carry_out, kept[0]), (params.w_h, carry.h, resets, mask, kept)


def _lstm_bwd(
    residuals: _Residuals, cotangents: tuple[LSTMCarry, Array]
) -> tuple[LSTMParams, LSTMCarry, Array, None, None]:
    """One reverse loop that yields dz; then dW_h = sum_t (keep_t * m * h_{t-1})^T dz_t."""
    w_h, h_0, resets, mask, (hs, gates, c_prev, tanh_cs) = residuals
    d_carry, d_hs = cotangents
    times_w_h_t = loop_product(w_h.T)

    def step(d_next: LSTMCarry, inputs: Any, _: Array) -> tuple[LSTMCarry, Array]:
        d_h, ifgo, c_before, tanh_c, reset = inputs
        dz, dc = lstm_cell_bwd(ifgo, c_before, tanh_c, d_h + d_next.h, d_next.c)
        return reset_state(LSTMCarry(h=masked(times_w_h_t(dz), mask), c=dc), reset), dz

    dzs = jnp.empty_like(gates)
    inputs = d_hs, gates, c_prev, tanh_cs, resets
    d_carry_0, dzs = time_loop(step, d_carry, inputs, dzs, reverse=True)

    h_prev = reset_state(masked(jnp.concatenate([h_0[None], hs])[:-1], mask), resets)  # keep_t * m * h_{t-1}
    d_params = LSTMParams(w_x=NO_GRADIENT, w_h=weight_gradient(h_prev, dzs, w_h), b=NO_GRADIENT)
    return d_params, d_carry_0, dzs, None, None


lstm_recurrence.defvjp(_lstm_fwd, _lstm_bwd)


def widen(z: Array) -> Array:
    """Return z in float32 at least, in which a sigmoid by way of tanh is off by 2^-23 at most.

    In bfloat16 it would be off by 2^-8: no gate could be open by less than 0.004.
    """
    return z if z.dtype.itemsize >= 4 else z.astype(jnp.float32)


def masked(hs: Array, mask: Array | None) -> Array:
    """Return `m * h`, or h without a mask."""
    return hs if mask is None else hs * jnp.broadcast_to(mask, hs.shape)
