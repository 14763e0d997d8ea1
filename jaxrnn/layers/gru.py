"""The gated recurrent unit (Cho et al., 2014), in PyTorch's form, which resets after the product with W_h.

forward     p_t = x_t W_x + b                       three blocks of H columns, in the order r, z, n
            a_t = h_{t-1} W_h                       likewise
            r = sigmoid(p_r + a_r)                  reset gate: how much of the past the candidate sees
            z = sigmoid(p_z + a_z)                  update gate: how much of the past is kept
            q = a_n + b_n                           what the reset gate scales
            n = tanh(p_n + r * q)                   candidate
            h_t = (1 - z) * n + z * h_{t-1}

backward    Write dh_t for the total derivative of the loss with respect to h_t. From the last step to the first, with
            dh_t = cotangent of h_t + what step t + 1 sends back:

            dp_n     = dh_t * (1 - z) * (1 - n^2)                      tanh' = 1 - tanh^2
            dp_z     = dh_t * (h_{t-1} - n) * z * (1 - z)              sigmoid' = s (1 - s)
            dp_r     = dp_n * q * r * (1 - r)                          r reaches n through r * q
            da_t     = [dp_r, dp_z, dp_n * r]                          a_n and b_n enter through q, scaled by r
            dh_{t-1} = dh_t * z + da_t W_h^T                           to which its own cotangent is added

            The loop yields only da and dp_n, which make up dp. After it:

            dW_h = sum_t h_{t-1}^T da_t,   db_n = sum_t sum_batch dp_n * r,
            dW_x = sum_t x_t^T dp_t,   db = sum_t sum_batch dp_t,   dx_t = dp_t W_x^T

            (the last three are the dense layer's rule).

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): keep_t * h_{t-1} replaces h_{t-1}
            everywhere above, in dp_z and dW_h too, and dh_{t-1} = keep_t * (dh_t * z + da_t W_h^T).

Step by step: docs/maths.md, section 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.layers.lstm import widen
from jaxrnn.layers.product import loop_product, product, weight_gradient
from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.single_step import single_step
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import NO_GRADIENT, Array, Key, check_resets, check_sequence


class GRUParams(NamedTuple):
    """The parameters of a GRU layer; columns are the gates r, z and n, H of each."""

    w_x: Array  # [input, 3 * hidden]
    w_h: Array  # [hidden, 3 * hidden]
    b: Array  # [3 * hidden]
    b_n: Array  # [hidden], the recurrent bias of n, inside the reset


class GRUCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden]


def init_gru(key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> GRUParams:
    """Draw a Glorot-uniform w_x and an orthogonal w_h, gate by gate; the biases are zero."""
    key_x, key_h = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (input_size, hidden_size), dtype) for k in jax.random.split(key_x, 3)]
    w_h = [orthogonal(k, hidden_size, dtype) for k in jax.random.split(key_h, 3)]
    return GRUParams(
        w_x=jnp.concatenate(w_x, axis=1),
        w_h=jnp.concatenate(w_h, axis=1),
        b=jnp.zeros((3 * hidden_size,), dtype),
        b_n=jnp.zeros((hidden_size,), dtype),
    )


def gru_carry(params: GRUParams, batch_size: int) -> GRUCarry:
    """Return the carry before the first step: zeros `[batch_size, hidden]`."""
    return GRUCarry(jnp.zeros((batch_size, params.w_h.shape[0]), params.w_h.dtype))


def gru(
    params: GRUParams, carry: GRUCarry, xs: Array, *, resets: Array | None = None
) -> tuple[GRUCarry, Array]:
    """Run a GRU layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `GRUParams(w_x [input, 3 * hidden], w_h [hidden, 3 * hidden], b [3 * hidden], b_n [hidden])`.
        carry: `GRUCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, input]`.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_gru(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, hs = gru(params, gru_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.h.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("gru", xs, params.w_x, params.w_h.shape[0], carry)
    check_resets("gru", resets, xs)
    return gru_recurrence(params, carry, gru_input_projection(params, xs), resets)


def gru_step(
    params: GRUParams, carry: GRUCarry, x: Array, *, reset: Array | None = None
) -> tuple[GRUCarry, Array]:
    """Run a GRU layer for one time step.

    Args:
        params: as for `gru`.
        carry: as for `gru`, the state before the step.
        x: `[batch, input]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_gru(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = gru_step(params, gru_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(gru, params, carry, x, reset)


def gru_input_projection(params: GRUParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 3 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def gru_recurrence(
    params: GRUParams, carry: GRUCarry, ps: Array, resets: Array | None = None
) -> tuple[GRUCarry, Array]:
    """Run the time loop over projected inputs; returns what `gru` returns.

    Args:
        params: as for `gru`; only w_h and b_n are read, and only these get gradients.
        carry: as for `gru`.
        ps: `[time, batch, 3 * hidden]`, the projected inputs.
        resets: as for `gru`.
    """
    outputs, _ = _gru_fwd(params, carry, ps, resets)
    return outputs


def gru_cell(p: Array, a: Array, b_n: Array) -> tuple[Array, Array]:
    """Return the gates r, z and n side by side, and q, from p_t and a_t `[..., 3 * hidden]`."""
    hidden_size = b_n.shape[0]
    p_rz, p_n = jnp.split(p, [2 * hidden_size], axis=-1)
    a_rz, a_n = jnp.split(a, [2 * hidden_size], axis=-1)
    wide = widen(p_rz + a_rz)
    rz = (0.5 * jnp.tanh(0.5 * wide) + 0.5).astype(p.dtype)  # the sigmoid, cheaper than by way of exp
    r, _ = jnp.split(rz, 2, axis=-1)
    q = a_n + jnp.broadcast_to(b_n, a_n.shape)
    n = jnp.tanh(p_n + r * q)
    return jnp.concatenate([rz, n], axis=-1), q


def gru_gates(params: GRUParams, carry: GRUCarry, xs: Array) -> dict[str, Array]:
    """Return the gates r, z and n by name, of steps that read `xs` `[..., input]` and `carry` `[..., hidden]`."""
    gates, _ = gru_cell(gru_input_projection(params, xs), product(carry.h, params.w_h), params.b_n)
    return dict(zip("rzn", jnp.split(gates, 3, axis=-1), strict=True))


_Kept = tuple[Array, Array, Array]  # of every step: h_t, the gates r, z, n side by side, and q
_Residuals = tuple[Array, Array, Array | None, _Kept]


def _gru_fwd(
    params: GRUParams, carry: GRUCarry, ps: Array, resets: Array | None
) -> tuple[tuple[GRUCarry, Array], _Residuals]:
    times_w_h = loop_product(params.w_h)

    def step(carry: GRUCarry, reset: Array | None, here: _Kept) -> tuple[GRUCarry, _Kept]:
        carry = reset_state(carry, reset)
        gates, q = gru_cell(here[1], times_w_h(carry.h), params.b_n)
        _, z, n = jnp.split(gates, 3, axis=-1)
        h = (1 - z) * n + z * carry.h
        return GRUCarry(h), (h, gates, q)

    hs, qs = (blank(ps.shape[0], carry.h) for _ in range(2))
    carry_out, kept = time_loop(step, carry, resets, (hs, ps, qs))  # the gates take the place of ps
    return (carry_out, kept[0]), (params.w_h, carry.h, resets, kept)


def _gru_bwd(
    residuals: _Residuals, cotangents: tuple[GRUCarry, Array]
) -> tuple[GRUParams, GRUCarry, Array, None]:
    """One reverse loop that yields da and dp_n; then dW_h = sum_t (keep_t * h_{t-1})^T da_t, and db_n."""
    w_h, h_0, resets, (hs, gates, qs) = residuals
    d_carry, d_hs = cotangents
    h_prev = reset_state(jnp.concatenate([h_0[None], hs])[:-1], resets)  # keep_t * h_{t-1} for every t
    times_w_h_t = loop_product(w_h.T)

    def step(dh_next: Array, inputs: Any, _: Any) -> tuple[Array, tuple[Array, Array]]:
        d_h, rzn, q, h_before, reset = inputs
        r, z, n = jnp.split(rzn, 3, axis=-1)
        dh = d_h + dh_next
        dp_n = dh * (1 - z) * (1 - n * n)
        dp_z = dh * (h_before - n) * z * (1 - z)
        dp_r = dp_n * q * r * (1 - r)
        da = jnp.concatenate([dp_r, dp_z, dp_n * r], axis=-1)
        return reset_state(dh * z + times_w_h_t(da), reset), (da, dp_n)

    yielded = jnp.empty_like(gates), blank(len(gates), h_0)
    dh_0, (das, dp_ns) = time_loop(step, d_carry.h, (d_hs, gates, qs, h_prev, resets), yielded, reverse=True)

    dp_rs, dp_zs, da_ns = jnp.split(das, 3, axis=-1)
    d_params = GRUParams(
        w_x=NO_GRADIENT, w_h=weight_gradient(h_prev, das, w_h), b=NO_GRADIENT, b_n=da_ns.sum(axis=(0, 1))
    )
    return d_params, GRUCarry(dh_0), jnp.concatenate([dp_rs, dp_zs, dp_ns], axis=-1), None


gru_recurrence.defvjp(_gru_fwd, _gru_bwd)
