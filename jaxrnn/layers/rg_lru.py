"""RG-LRU, the real-gated linear recurrent unit of Griffin (De et al., 2024, arXiv:2402.19427, section 2.4).

forward     p_t = x_t W_x + b                       two blocks of H columns, in the order r, i; x_t has H features too
            r = sigmoid(p_r)                        recurrence gate
            i = sigmoid(p_i)                        input gate
            l = -8 softplus(A) * r                  log a_t, with a parameter A for each unit, `a_param`
            a = exp(l)                              decay: how much is kept
            s = sqrt(1 - a^2)                       so that h keeps the scale of x, whatever a is
            h_t = a * h_{t-1} + s * i * x_t         linear_scan.py, with s * i * x_t for its b

backward    Write dh_t for the total derivative of the loss with respect to h_t; the backward recurrence yields it.

            dl       = dh_t * h_{t-1} * a - dh_t * i * x_t * a^2 / s      da / dl = a,   ds / dl = -a^2 / s
            dp_r     = dl * l * (1 - r)                                   l is proportional to r = sigmoid(p_r)
            dp_i     = dh_t * s * x_t * i * (1 - i)
            dx_t     = dh_t * s * i + dp_t W_x^T                          the last term is the dense layer's
            dA       = sum_t sum_batch dl * l * sigmoid(A) / softplus(A)  softplus' = sigmoid

            1 / s grows without bound where a approaches 1, but dl is needed only as dl * l, and l / s approaches 0
            there: the code divides l by s, and no gradient overflows. The gradients of W_x and b are the dense layer's.

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): keep_t * h_{t-1} replaces h_{t-1}
            everywhere above. s does not change: the states after a reset are those after a carry of zeros.
            (RecurrentGemma's code has s = 1 at the first step of a document.)

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.linear_scan import linear_scan, linear_scan_bwd
from jaxrnn.layers.single_step import single_step
from jaxrnn.types import NO_GRADIENT, Array, Key, check_resets, check_sequence

_SHARPNESS = 8.0  # the paper's c
_TINY = 1e-30  # in place of a divisor of 0


class RGLRUParams(NamedTuple):
    """The parameters of an RG-LRU layer; columns are the gates r and i, H of each."""

    w_x: Array  # [hidden, 2 * hidden]
    b: Array  # [2 * hidden]
    a_param: Array  # [hidden], A: the decay of an open recurrence gate is exp(-8 softplus(A))


class RGLRUCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden]


def init_rg_lru(key: Key, size: int, min_decay: float = 0.9, dtype: DTypeLike = jnp.float32) -> RGLRUParams:
    """Draw a Glorot-uniform w_x, gate by gate, and decays uniform in [min_decay, 0.999] at r = 1; b is zero.

    0.9 is the paper's, for sequences of thousands of steps; with short ones, units must forget faster at first.
    """
    key_x, key_a = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (size, size), dtype) for k in jax.random.split(key_x, 2)]
    decay = jax.random.uniform(key_a, (size,), jnp.float32, min_decay, 0.999)
    a_param = jnp.log(jnp.expm1(-jnp.log(decay) / _SHARPNESS))  # the inverse of softplus
    return RGLRUParams(jnp.concatenate(w_x, axis=1), jnp.zeros((2 * size,), dtype), a_param.astype(dtype))


def rg_lru_carry(params: RGLRUParams, batch_size: int) -> RGLRUCarry:
    """Return the carry before the first step: zeros `[batch_size, hidden]`."""
    return RGLRUCarry(jnp.zeros((batch_size, params.a_param.size), params.b.dtype))


def rg_lru(
    params: RGLRUParams, carry: RGLRUCarry, xs: Array, *, resets: Array | None = None
) -> tuple[RGLRUCarry, Array]:
    """Run an RG-LRU layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `RGLRUParams(w_x [hidden, 2 * hidden], b [2 * hidden], a_param [hidden])`.
        carry: `RGLRUCarry(h [batch, hidden])`, the state before the first step.
        xs: `[time, batch, hidden]`, as wide as the state.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rg_lru(jax.random.key(0), size=4)
        >>> carry, hs = rg_lru(params, rg_lru_carry(params, batch_size=2), jnp.ones((5, 2, 4)))
        >>> hs.shape, carry.h.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("rg_lru", xs, params.w_x, params.a_param.size, carry)
    check_resets("rg_lru", resets, xs)
    return rg_lru_recurrence(params, carry, xs, rg_lru_input_projection(params, xs), resets)


def rg_lru_step(
    params: RGLRUParams, carry: RGLRUCarry, x: Array, *, reset: Array | None = None
) -> tuple[RGLRUCarry, Array]:
    """Run an RG-LRU layer for one time step.

    Args:
        params: as for `rg_lru`.
        carry: as for `rg_lru`, the state before the step.
        x: `[batch, hidden]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rg_lru(jax.random.key(0), size=4)
        >>> carry, h = rg_lru_step(params, rg_lru_carry(params, batch_size=2), jnp.ones((2, 4)))
        >>> h.shape
        (2, 4)
    """
    return single_step(rg_lru, params, carry, x, reset)


def rg_lru_input_projection(params: RGLRUParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., hidden]` to `[..., 2 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def rg_lru_recurrence(
    params: RGLRUParams, carry: RGLRUCarry, xs: Array, ps: Array, resets: Array | None = None
) -> tuple[RGLRUCarry, Array]:
    """Run the layer over inputs and projected inputs; returns what `rg_lru` returns.

    Args:
        params: as for `rg_lru`; only a_param is read, and only a_param gets a gradient.
        carry: as for `rg_lru`.
        xs: `[time, batch, hidden]`, the inputs.
        ps: `[time, batch, 2 * hidden]`, the projected inputs.
        resets: as for `rg_lru`.
    """
    outputs, _ = _rg_lru_fwd(params, carry, xs, ps, resets)
    return outputs


def rg_lru_gates(params: RGLRUParams, xs: Array) -> dict[str, Array]:
    """Return the decay a and the gate i by name, of steps that read `xs` `[..., hidden]`."""
    r, i = jnp.split(jax.nn.sigmoid(rg_lru_input_projection(params, xs)), 2, axis=-1)
    return {"a": jnp.exp(_log_decay(params.a_param, r)), "i": i}


def _log_decay(a_param: Array, r: Array) -> Array:
    return -_SHARPNESS * jnp.broadcast_to(jax.nn.softplus(a_param), r.shape) * r


def _scale(log_a: Array) -> Array:
    """Return s; expm1 keeps the digits of a small 1 - a^2."""
    return jnp.sqrt(-jnp.expm1(2 * log_a))


# A, the gates r and i side by side, xs, h_0, hs and resets.
_Residuals = tuple[Array, Array, Array, Array, Array, Array | None]


def _rg_lru_fwd(
    params: RGLRUParams, carry: RGLRUCarry, xs: Array, ps: Array, resets: Array | None
) -> tuple[tuple[RGLRUCarry, Array], _Residuals]:
    gates = jax.nn.sigmoid(ps)
    r, i = jnp.split(gates, 2, axis=-1)
    log_a = _log_decay(params.a_param, r)
    h, hs = linear_scan(jnp.exp(log_a), _scale(log_a) * i * xs, carry.h, resets)
    return (RGLRUCarry(h), hs), (params.a_param, gates, xs, carry.h, hs, resets)


def _rg_lru_bwd(
    residuals: _Residuals, cotangents: tuple[RGLRUCarry, Array]
) -> tuple[RGLRUParams, RGLRUCarry, Array, Array, None]:
    """One reverse scan that yields da_t = dh_t * keep_t * h_{t-1} and db_t = dh_t; the rest is elementwise."""
    a_param, gates, xs, h_0, hs, resets = residuals
    d_carry, d_hs = cotangents
    r, i = jnp.split(gates, 2, axis=-1)
    log_a = _log_decay(a_param, r)
    a, s = jnp.exp(log_a), _scale(log_a)
    das, dhs, dh_0, _ = linear_scan_bwd((a, h_0, hs, resets), (d_carry.h, d_hs))

    l_over_s = log_a / jnp.maximum(s, _TINY)
    dl_times_l = das * a * log_a - dhs * i * xs * a * a * l_over_s
    dp_r = dl_times_l * (1 - r)
    dp_i = dhs * s * xs * i * (1 - i)
    softplus = jnp.maximum(jax.nn.softplus(a_param), _TINY)
    d_a_param = (
        dl_times_l.sum(axis=(0, 1)) * -jnp.expm1(-softplus) / softplus
    )  # sigmoid(A) = 1 - exp(-softplus(A))

    d_params = RGLRUParams(w_x=NO_GRADIENT, b=NO_GRADIENT, a_param=d_a_param)
    return d_params, RGLRUCarry(dh_0), dhs * s * i, jnp.concatenate([dp_r, dp_i], axis=-1), None


rg_lru_recurrence.defvjp(_rg_lru_fwd, _rg_lru_bwd)
