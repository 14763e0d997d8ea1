"""The simple recurrent layer (Elman, 1990), trained by backpropagation through time (Werbos, 1990).

forward     z_t = x_t W_x + b + h_{t-1} W_h                  pre-activation
            h_t = tanh(z_t)

backward    Write dh_t for the total derivative of the loss with respect to h_t: the cotangent of h_t, from the layer
            above, plus what comes back from step t + 1. From the last step to the first:

            dz_t     = dh_t * (1 - h_t^2)                     tanh' = 1 - tanh^2
            dh_{t-1} = cotangent of h_{t-1} + dz_t W_h^T      h_{t-1} enters z_t through W_h

            The loop yields only dz. W_h, W_x and b enter every z_t linearly, so that their gradients are sums over
            time and batch, each one matrix product after the loop:

            dW_h = sum_t h_{t-1}^T dz_t,   dW_x = sum_t x_t^T dz_t,   db = sum_t sum_batch dz_t,   dx_t = dz_t W_x^T

            (the last three are the dense layer's rule, applied to the input projection x W_x + b).

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): z_t reads keep_t * h_{t-1}. So
            dh_{t-1} = cotangent of h_{t-1} + keep_t * (dz_t W_h^T), and dW_h = sum_t (keep_t * h_{t-1})^T dz_t.

Step by step: docs/maths.md, section 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.layers.product import loop_product, weight_gradient
from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.single_step import single_step
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import NO_GRADIENT, Array, Key, check_resets, check_sequence


class RNNParams(NamedTuple):
    """The parameters of a simple recurrent layer."""

    w_x: Array  # [input, hidden]
    w_h: Array  # [hidden, hidden]
    b: Array  # [hidden]


class RNNCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden]


def init_rnn(key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> RNNParams:
    """Draw a Glorot-uniform w_x and an orthogonal w_h; b is zero."""
    key_x, key_h = jax.random.split(key)
    return RNNParams(
        w_x=jax.nn.initializers.glorot_uniform()(key_x, (input_size, hidden_size), dtype),
        w_h=orthogonal(key_h, hidden_size, dtype),
        b=jnp.zeros((hidden_size,), dtype),
    )


def rnn_carry(params: RNNParams, batch_size: int) -> RNNCarry:
    """Return the carry before the first step: zeros `[batch_size, hidden]`."""
    return RNNCarry(jnp.zeros((batch_size, params.w_h.shape[0]), params.w_h.dtype))


def rnn(
    params: RNNParams, carry: RNNCarry, xs: Array, *, resets: Array | None = None
) -> tuple[RNNCarry, Array]:
    """Run a simple recurrent layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `RNNParams(w_x [input, hidden], w_h [hidden, hidden], b [hidden])`.
        carry: `RNNCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, input]`.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rnn(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, hs = rnn(params, rnn_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.h.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("rnn", xs, params.w_x, params.w_h.shape[0], carry)
    check_resets("rnn", resets, xs)
    return rnn_recurrence(params, carry, rnn_input_projection(params, xs), resets)


def rnn_step(
    params: RNNParams, carry: RNNCarry, x: Array, *, reset: Array | None = None
) -> tuple[RNNCarry, Array]:
    """Run a simple recurrent layer for one time step.

    Args:
        params: as for `rnn`.
        carry: as for `rnn`, the state before the step.
        x: `[batch, input]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rnn(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = rnn_step(params, rnn_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(rnn, params, carry, x, reset)


def rnn_input_projection(params: RNNParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def rnn_recurrence(
    params: RNNParams, carry: RNNCarry, zs: Array, resets: Array | None = None
) -> tuple[RNNCarry, Array]:
    """Run the time loop, `h_t = tanh(zs_t + keep_t * h_{t-1} @ w_h)`; returns what `rnn` returns.

    Args:
        params: as for `rnn`; only w_h is read, and only w_h gets a gradient.
        carry: as for `rnn`.
        zs: `[time, batch, hidden]`, the projected inputs.
        resets: as for `rnn`.
    """
    times_w_h = loop_product(params.w_h)

    def step(h: Array, reset: Array | None, z: Array) -> tuple[Array, Array]:
        h = jnp.tanh(z + times_w_h(reset_state(h, reset)))
        return h, h

    h, hs = time_loop(step, carry.h, resets, zs)  # the hidden states take the place of zs
    return RNNCarry(h), hs


_Residuals = tuple[Array, Array, Array, Array | None]


def _rnn_fwd(
    params: RNNParams, carry: RNNCarry, zs: Array, resets: Array | None
) -> tuple[tuple[RNNCarry, Array], _Residuals]:
    carry_out, hs = rnn_recurrence(params, carry, zs, resets)
    return (carry_out, hs), (params.w_h, carry.h, hs, resets)


def _rnn_bwd(
    residuals: _Residuals, cotangents: tuple[RNNCarry, Array]
) -> tuple[RNNParams, RNNCarry, Array, None]:
    """One reverse loop that yields dz; then dW_h = sum_t (keep_t * h_{t-1})^T dz_t."""
    w_h, h_0, hs, resets = residuals
    d_carry, d_hs = cotangents
    times_w_h_t = loop_product(w_h.T)

    def step(dh_next: Array, inputs: tuple[Array, Array, Array | None], _: Array) -> tuple[Array, Array]:
        h, d_h, reset = inputs
        dh = d_h + dh_next  # from the layer above, and from step t + 1
        dz = dh * (1 - h * h)
        return reset_state(times_w_h_t(dz), reset), dz

    dh_0, dzs = time_loop(step, d_carry.h, (hs, d_hs, resets), blank(len(hs), h_0), reverse=True)

    h_prev = reset_state(jnp.concatenate([h_0[None], hs])[:-1], resets)  # keep_t * h_{t-1} for every t
    d_params = RNNParams(w_x=NO_GRADIENT, w_h=weight_gradient(h_prev, dzs, w_h), b=NO_GRADIENT)
    return d_params, RNNCarry(dh_0), dzs, None


rnn_recurrence.defvjp(_rnn_fwd, _rnn_bwd)
