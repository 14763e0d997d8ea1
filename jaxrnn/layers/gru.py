"""The gated recurrent unit (Cho et al., 2014), in PyTorch's form, which resets after the product with W_h.

forward     z_t = x_t W_x + b                       three blocks of H columns, in the order r, u, n
            a_t = h_{t-1} W_h                       likewise (PyTorch calls the second gate z; here z is taken)
            r = sigmoid(z_r + a_r)                  reset gate: how much of the past the candidate sees
            u = sigmoid(z_u + a_u)                  update gate: how much of the past is kept
            q = a_n + b_n                           what the reset gate scales
            n = tanh(z_n + r * q)                   candidate
            h_t = (1 - u) * n + u * h_{t-1}

backward    Write dh_t for the whole derivative of the loss by h_t. From the last step to the first, with
            dh_t = cotangent of h_t + what step t + 1 sends back:

            dz_n     = dh_t * (1 - u) * (1 - n^2)                      tanh' = 1 - tanh^2
            dz_u     = dh_t * (h_{t-1} - n) * u * (1 - u)              sigmoid' = s (1 - s)
            dz_r     = dz_n * q * r * (1 - r)                          r reaches n through r * q
            da_t     = [dz_r, dz_u, dz_n * r]                          a_n and b_n enter through q, scaled by r
            dh_{t-1} = dh_t * u + da_t W_h^T                           to be joined by its own cotangent

            The loop yields only da and dz_n, which make up dz. After it:

            dW_h = sum_t h_{t-1}^T da_t,   db_n = sum_t dz_n * r,
            dW_x = sum_t x_t^T dz_t,   db = sum_t dz_t,   dx_t = dz_t W_x^T

            (the last three are the dense layer's rule).

resets      Where a text begins, keep_t is 0, else 1 (resets.py): keep_t * h_{t-1} stands in the place of h_{t-1}
            everywhere above, in dz_u and dW_h too, and dh_{t-1} = keep_t * (dh_t * u + da_t W_h^T).

Step by step: docs/maths.md, section 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.layers.product import loop_product, weight_gradient
from jaxrnn.layers.resets import emptied
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import Array, Key, check_resets, check_sequence


class GRUParams(NamedTuple):
    """The parameters of a GRU layer; columns are the gates r, z (u in the equations) and n, H of each."""

    w_x: Array  # [input, 3 * hidden]
    w_h: Array  # [hidden, 3 * hidden]
    b: Array  # [3 * hidden]
    b_n: Array  # [hidden], the recurrent bias of n, inside the reset


class GRUCarry(NamedTuple):
    """What one time step hands to the next."""

    h: Array  # [batch, hidden]


def init_gru(key: Key, input_size: int, hidden_size: int, dtype: DTypeLike = jnp.float32) -> GRUParams:
    """Glorot-uniform w_x and orthogonal w_h, gate by gate; zero biases."""
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
    """The carry that every text begins with: zeros `[batch_size, hidden]`."""
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
        resets: bool `[time, batch]`, whether the state is emptied before a step; None is never.

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
    check_sequence("gru", xs, params.w_x, params.w_h, carry)
    check_resets("gru", resets, xs)
    return gru_recur(params, carry, gru_project(params, xs), resets=resets)


def gru_project(params: GRUParams, xs: Array) -> Array:
    """What needs no recurrence, for all time steps at once, `xs @ w_x + b`: `[..., input]` to `[..., 3 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


def gru_recur(
    params: GRUParams, carry: GRUCarry, zs: Array, *, resets: Array | None = None
) -> tuple[GRUCarry, Array]:
    """The recurrence over projections `zs` `[time, batch, 3 * hidden]`; returns what `gru` returns."""
    return gru_recurrence(params.w_h, params.b_n, zs, carry, resets)


@jax.custom_vjp
def gru_recurrence(
    w_h: Array, b_n: Array, zs: Array, carry: GRUCarry, resets: Array | None
) -> tuple[GRUCarry, Array]:
    """The GRU's time loop over projected inputs.

    Args:
        w_h: `[hidden, 3 * hidden]`.
        b_n: `[hidden]`, the recurrent bias of n.
        zs: `[time, batch, 3 * hidden]`, the projected inputs.
        carry: `GRUCarry(h [batch, hidden])`.
        resets: bool `[time, batch]`, or None.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.
    """
    carry, (hs, _, _) = gru_loop(w_h, b_n, zs, carry, resets)
    return carry, hs


_Kept = tuple[Array, Array, Array]


def gru_loop(
    w_h: Array, b_n: Array, zs: Array, carry: GRUCarry, resets: Array | None
) -> tuple[GRUCarry, _Kept]:
    """The carry after the last step; and for every step h_t, the gates r, u, n side by side, and q."""
    times_w_h = loop_product(w_h)
    hidden_size = w_h.shape[0]

    def step(carry: GRUCarry, reset: Array | None, here: _Kept) -> tuple[GRUCarry, _Kept]:
        carry = emptied(carry, reset)
        z_ru, z_n = jnp.split(here[1], [2 * hidden_size], axis=-1)
        a_ru, a_n = jnp.split(times_w_h(carry.h), [2 * hidden_size], axis=-1)
        ru = 0.5 * jnp.tanh(0.5 * (z_ru + a_ru)) + 0.5  # the sigmoid, cheaper than by way of exp
        r, u = jnp.split(ru, 2, axis=-1)
        q = a_n + b_n
        n = jnp.tanh(z_n + r * q)
        h = (1 - u) * n + u * carry.h
        return GRUCarry(h), (h, jnp.concatenate([ru, n], axis=-1), q)

    hs, qs = (blank(zs.shape[0], carry.h) for _ in range(2))
    return time_loop(step, carry, resets, (hs, zs, qs))  # the gates take the place of zs


_Residuals = tuple[Array, Array, Array | None, _Kept]


def _gru_recurrence_fwd(
    w_h: Array, b_n: Array, zs: Array, carry: GRUCarry, resets: Array | None
) -> tuple[tuple[GRUCarry, Array], _Residuals]:
    carry_out, kept = gru_loop(w_h, b_n, zs, carry, resets)
    return (carry_out, kept[0]), (w_h, carry.h, resets, kept)


def _gru_recurrence_bwd(
    residuals: _Residuals, cotangents: tuple[GRUCarry, Array]
) -> tuple[Array, Array, Array, GRUCarry, None]:
    """The module's backward equations, one reverse loop; then dW_h and db_n from da for all t at once."""
    w_h, h_0, resets, (hs, gates, qs) = residuals
    d_carry, d_hs = cotangents
    h_prev = emptied(jnp.concatenate([h_0[None], hs])[:-1], resets)  # keep_t * h_{t-1} for every t
    times_w_h_t = loop_product(w_h.T)

    def step(dh_next: Array, inputs: Any, _: Any) -> tuple[Array, tuple[Array, Array]]:
        d_h, run, q, h_before, reset = inputs
        r, u, n = jnp.split(run, 3, axis=-1)
        dh = d_h + dh_next
        dz_n = dh * (1 - u) * (1 - n * n)
        dz_u = dh * (h_before - n) * u * (1 - u)
        dz_r = dz_n * q * r * (1 - r)
        da = jnp.concatenate([dz_r, dz_u, dz_n * r], axis=-1)
        return emptied(dh * u + times_w_h_t(da), reset), (da, dz_n)

    yielded = blank(len(gates), gates[0]), blank(len(gates), h_0)
    dh_0, (das, dz_ns) = time_loop(step, d_carry.h, (d_hs, gates, qs, h_prev, resets), yielded, reverse=True)

    dz_rs, dz_us, da_ns = jnp.split(das, 3, axis=-1)
    dzs = jnp.concatenate([dz_rs, dz_us, dz_ns], axis=-1)
    return weight_gradient(h_prev, das, w_h), da_ns.sum(axis=(0, 1)), dzs, GRUCarry(dh_0), None


gru_recurrence.defvjp(_gru_recurrence_fwd, _gru_recurrence_bwd)
