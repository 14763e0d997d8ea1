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

            The loop yields only dz; da is dz with its last block scaled by r, taken for all t at once. After it:

            dW_h = sum_t h_{t-1}^T da_t,   db_n = sum_t dz_n * r,
            dW_x = sum_t x_t^T dz_t,   db = sum_t dz_t,   dx_t = dz_t W_x^T

            (the last three are the dense layer's rule).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.types import Array, Key, check_sequence


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


def gru(params: GRUParams, carry: GRUCarry, xs: Array) -> tuple[GRUCarry, Array]:
    """Run a GRU layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `GRUParams(w_x [input, 3 * hidden], w_h [hidden, 3 * hidden], b [3 * hidden], b_n [hidden])`.
        carry: `GRUCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, input]`.

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
    return gru_recur(params, carry, gru_project(params, xs))


def gru_project(params: GRUParams, xs: Array) -> Array:
    """What needs no recurrence, for all time steps at once, `xs @ w_x + b`: `[..., input]` to `[..., 3 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


def gru_recur(params: GRUParams, carry: GRUCarry, zs: Array) -> tuple[GRUCarry, Array]:
    """The recurrence over projections `zs` `[time, batch, 3 * hidden]`; returns what `gru` returns."""
    return gru_recurrence(params.w_h, params.b_n, zs, carry)


@jax.custom_vjp
def gru_recurrence(w_h: Array, b_n: Array, zs: Array, carry: GRUCarry) -> tuple[GRUCarry, Array]:
    """The GRU's time loop over projected inputs.

    Args:
        w_h: `[hidden, 3 * hidden]`.
        b_n: `[hidden]`, the recurrent bias of n.
        zs: `[time, batch, 3 * hidden]`, the projected inputs.
        carry: `GRUCarry(h [batch, hidden])`.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.
    """
    carry, (hs, _) = jax.lax.scan(lambda carry, z: _gru_step(w_h, b_n, carry, z), carry, zs)
    return carry, hs


def _gru_step(w_h: Array, b_n: Array, carry: GRUCarry, z: Array) -> tuple[GRUCarry, tuple[Array, Array]]:
    """One step: the new carry; and h_t and r, u, n, q side by side, which the backward pass needs."""
    z_r, z_u, z_n = jnp.split(z, 3, axis=-1)
    a_r, a_u, a_n = jnp.split(carry.h @ w_h, 3, axis=-1)
    r, u, q = jax.nn.sigmoid(z_r + a_r), jax.nn.sigmoid(z_u + a_u), a_n + b_n
    n = jnp.tanh(z_n + r * q)
    h = (1 - u) * n + u * carry.h
    return GRUCarry(h), (h, jnp.concatenate([r, u, n, q], axis=-1))


_Residuals = tuple[Array, Array, Array, Array]


def _gru_recurrence_fwd(
    w_h: Array, b_n: Array, zs: Array, carry: GRUCarry
) -> tuple[tuple[GRUCarry, Array], _Residuals]:
    h_0 = carry.h
    carry, (hs, gates) = jax.lax.scan(lambda carry, z: _gru_step(w_h, b_n, carry, z), carry, zs)
    return (carry, hs), (w_h, h_0, hs, gates)


def _gru_recurrence_bwd(
    residuals: _Residuals, cotangents: tuple[GRUCarry, Array]
) -> tuple[Array, Array, Array, GRUCarry]:
    """The module's backward equations, one reverse scan; then dW_h and db_n from da for all t at once."""
    w_h, h_0, hs, gates = residuals
    d_carry, d_hs = cotangents
    h_prev = jnp.concatenate([h_0[None], hs])[:-1]  # h_{t-1} for every t

    def step(dh_next: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        runq, h_before, d_h = inputs
        r, u, n, q = jnp.split(runq, 4, axis=-1)
        dh = d_h + dh_next
        dz_n = dh * (1 - u) * (1 - n * n)
        dz_u = dh * (h_before - n) * u * (1 - u)
        dz_r = dz_n * q * r * (1 - r)
        da = jnp.concatenate([dz_r, dz_u, dz_n * r], axis=-1)
        return dh * u + da @ w_h.T, jnp.concatenate([dz_r, dz_u, dz_n], axis=-1)

    dh_0, dzs = jax.lax.scan(step, d_carry.h, (gates, h_prev, d_hs), reverse=True)

    r = gates[..., : h_0.shape[-1]]
    dz_r, dz_u, dz_n = jnp.split(dzs, 3, axis=-1)
    das = jnp.concatenate([dz_r, dz_u, dz_n * r], axis=-1)
    dw_h = jnp.einsum("tbh,tbk->hk", h_prev, das)
    db_n = (dz_n * r).sum(axis=(0, 1))
    return dw_h, db_n, dzs, GRUCarry(dh_0)


gru_recurrence.defvjp(_gru_recurrence_fwd, _gru_recurrence_bwd)
