"""sLSTM (Beck et al., 2024, arXiv:2405.04517, section 2.2): an LSTM with exponential gates, a normalizer and heads.

forward     z_t = x_t W_x + b + h_{t-1} W_h         W_h is block-diagonal: a unit reads the h of its own head only.
            l = log sigmoid(z_f)                    Of every head four blocks of D columns, in the order i, f, g, o.
            m_t = max(l + m_{t-1}, z_i)             stabilizer: the larger exponent; z_i where n_{t-1} = 0
            i = exp(z_i - m_t)                      input gate, exp(z_i), relative to e^{m_t}
            f = exp(l + m_{t-1} - m_t)              forget gate, sigmoid(z_f), likewise; 0 where n_{t-1} = 0
            g = tanh(z_g),  o = sigmoid(z_o)        candidate, output gate
            c_t = f * c_{t-1} + i * g               cell
            n_t = f * n_{t-1} + i                   normalizer: the sum of the weights in c_t
            h_t = o * c_t / n_t

            One of i and f is 1, so from an empty state (zeros) n_t is at least 1: no overflow, no division by zero.

backward    m_t only fixes the unit in which c_t and n_t are measured: h_t does not depend on it. Let q = c_t / n_t.
            From the last step to the first, with dh_t, dc_t, dn_t the totals and m held constant:

            dc_t     = dc from step t + 1 + dh_t * o / n_t
            dn_t     = dn from step t + 1 - dh_t * o * q / n_t              d(c / n) = dc / n - q dn / n
            dz_o     = dh_t * q * o * (1 - o)
            dz_g     = dc_t * i * (1 - g^2)
            dz_i     = (dc_t * g + dn_t) * i                                exp' = exp
            dz_f     = (dc_t * c_{t-1} + dn_t * n_{t-1}) * f * (1 - sigmoid(z_f))     (log sigmoid)' = 1 - sigmoid
            dc_{t-1} = dc_t * f,   dn_{t-1} = dn_t * f,   dh_{t-1} = dz_t W_h^T

            The returned carry does depend on the unit. Let u_t be the gradient with respect to m_t that its cotangents
            (hc, hn, hm) add. As dc_T / dm_T = -c_T and dn_T / dm_T = -n_T, and as inside the sequence the effect of m_t
            on step t cancels at step t + 1:

            u_T      = hm - (hc * c_T + hn * n_T)
            m_t is l + m_{t-1} (f >= i):  dz_f += u_t * (1 - sigmoid(z_f)),   u_{t-1} = u_t
            m_t is z_i         (f < i):   dz_i += u_t,                        u_{t-1} = 0
            dm_0     = u_0 + dc_0 * c_0 + dn_0 * n_0

            The weights' gradients are those of the LSTM: products after the loop, W_h's head by head.

mask        A mask on h_{t-1} where it enters W_h, as for the LSTM (variational dropout).

resets      keep_t * h_{t-1}, and c, n and m likewise, replace the states of step t - 1 everywhere above; what goes back
            gets the factor keep_t too.

Step by step: docs/maths.md, section 17.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.initial import orthogonal
from jaxrnn.layers.lstm import masked, widen
from jaxrnn.layers.product import products_by_head, weight_gradients_by_head
from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.single_step import single_step
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import NO_GRADIENT, Array, Key, check_mask, check_resets, check_sequence


class SLSTMParams(NamedTuple):
    """The parameters of an sLSTM layer; of each head the gates i, f, g, o side by side, D = hidden / heads of each."""

    w_x: Array  # [input, 4 * hidden]
    w_h: Array  # [heads, D, 4 * D]
    b: Array  # [4 * hidden]


class SLSTMCarry(NamedTuple):
    """The carry from one time step to the next."""

    h: Array  # [batch, hidden], the output
    c: Array  # [batch, hidden], the cell, in units of e^m
    n: Array  # [batch, hidden], the normalizer, in the same units; 0 is an empty state, else positive
    m: Array  # [batch, hidden], the stabilizer


def init_slstm(
    key: Key, input_size: int, hidden_size: int, heads: int = 4, dtype: DTypeLike = jnp.float32
) -> SLSTMParams:
    """Draw a Glorot-uniform w_x, and an orthogonal w_h for each head and gate; b is zero, but 1 for the forget gates.

    Raises:
        ValueError: `heads` does not divide `hidden_size`.
    """
    if hidden_size % heads:
        raise ValueError(f"slstm: {heads} heads can't share {hidden_size} units; heads must divide them")
    size = hidden_size // heads
    key_x, key_h = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    w_x = [glorot(k, (input_size, hidden_size), dtype) for k in jax.random.split(key_x, 4)]
    w_h = [[orthogonal(k, size, dtype) for k in keys] for keys in jax.random.split(key_h, (heads, 4))]
    b = jnp.zeros((heads, 4, size), dtype).at[:, 1].set(1)
    return SLSTMParams(
        w_x=jnp.stack([w.reshape(input_size, heads, size) for w in w_x], axis=2).reshape(input_size, -1),
        w_h=jnp.stack([jnp.concatenate(gates, axis=1) for gates in w_h]),
        b=b.reshape(-1),
    )


def slstm_carry(params: SLSTMParams, batch_size: int) -> SLSTMCarry:
    """Return the carry before the first step: zeros, `[batch_size, hidden]` each."""
    shape = batch_size, params.b.size // 4
    return SLSTMCarry(*(jnp.zeros(shape, params.w_h.dtype) for _ in SLSTMCarry._fields))


def slstm(
    params: SLSTMParams,
    carry: SLSTMCarry,
    xs: Array,
    *,
    mask: Array | None = None,
    resets: Array | None = None,
) -> tuple[SLSTMCarry, Array]:
    """Run an sLSTM layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence. An empty carry (n = 0) gets no
    gradient.

    Args:
        params: `SLSTMParams(w_x [input, 4 * hidden], w_h [heads, D, 4 * D], b [4 * hidden])`, D = hidden / heads.
        carry: `SLSTMCarry(h, c, n, m)`, each `[batch, hidden]`, the state before the first step.
        xs: `[time, batch, input]`.
        mask: factors `[batch, hidden]` on h where it enters w_h, as for `lstm`; None is no mask.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_slstm(jax.random.key(0), input_size=3, hidden_size=4, heads=2)
        >>> carry, hs = slstm(params, slstm_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.n.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("slstm", xs, params.w_x, params.b.size // 4, carry)
    check_mask("slstm", mask, carry.h)
    check_resets("slstm", resets, xs)
    return slstm_recurrence(params, carry, slstm_input_projection(params, xs), resets, mask)


def slstm_step(
    params: SLSTMParams,
    carry: SLSTMCarry,
    x: Array,
    *,
    mask: Array | None = None,
    reset: Array | None = None,
) -> tuple[SLSTMCarry, Array]:
    """Run an sLSTM layer for one time step.

    Args:
        params: as for `slstm`.
        carry: as for `slstm`, the state before the step.
        x: `[batch, input]`.
        mask: factors `[batch, hidden]`, as for `slstm`; None is no mask.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_slstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = slstm_step(params, slstm_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(slstm, params, carry, x, reset, mask=mask)


def slstm_input_projection(params: SLSTMParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 4 * hidden]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def slstm_recurrence(
    params: SLSTMParams,
    carry: SLSTMCarry,
    zs: Array,
    resets: Array | None = None,
    mask: Array | None = None,
) -> tuple[SLSTMCarry, Array]:
    """Run the time loop over projected inputs; returns what `slstm` returns.

    Args:
        params: as for `slstm`; only w_h is read, and only w_h gets a gradient.
        carry: as for `slstm`.
        zs: `[time, batch, 4 * hidden]`, the projected inputs.
        resets: as for `slstm`.
        mask: as for `slstm`.
    """
    outputs, _ = _slstm_fwd(params, carry, zs, resets, mask)
    return outputs


class _Gates(NamedTuple):
    i: Array  # each [batch, heads, D], relative to e^{m_t}
    f: Array
    g: Array
    o: Array
    open: Array  # sigmoid(z_f)


def _cell(z: Array, before: SLSTMCarry) -> tuple[_Gates, SLSTMCarry]:
    """One step, from z_t `[..., heads, 4 * D]` and the states `[..., heads, D]`."""
    z_i, z_f, z_g, z_o = jnp.split(widen(z), 4, axis=-1)
    is_empty = before.n == 0
    kept = jax.nn.log_sigmoid(z_f) + widen(before.m)
    m = jnp.where(is_empty, z_i, jnp.maximum(kept, z_i)).astype(z.dtype)
    i = jnp.exp(z_i - widen(m))  # by m as it is stored: rounded, it is as good a unit
    f = jnp.where(is_empty, 0, jnp.exp(jnp.where(is_empty, 0, kept - widen(m))))
    gates = _Gates(
        *(gate.astype(z.dtype) for gate in (i, f, jnp.tanh(z_g), *map(jax.nn.sigmoid, (z_o, z_f))))
    )
    c = gates.f * before.c + gates.i * gates.g
    n = gates.f * before.n + gates.i
    return gates, SLSTMCarry(gates.o * c / n, c, n, m)


def _by_head(array: Array, heads: int) -> Array:
    """`[..., units]` to `[..., heads, units / heads]`."""
    return array.reshape(*array.shape[:-1], heads, array.shape[-1] // heads)


def _merged(array: Array) -> Array:
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])


def slstm_gates(params: SLSTMParams, carry: SLSTMCarry, xs: Array) -> dict[str, Array]:
    """Return the gates and the cell by name, of steps that read `xs` `[..., input]` and `carry` `[..., hidden]`.

    Independent of the stabilizer: `c` is c_t / n_t, and `i` and `f` are the weights of the candidate and of the
    previous cell in it, i / n_t and f * n_{t-1} / n_t, whose sum is 1.
    """
    heads = params.w_h.shape[0]
    before = jax.tree.map(lambda state: _by_head(state, heads), carry)
    z = _by_head(slstm_input_projection(params, xs), heads)
    gates, after = _cell(z + products_by_head(before.h, params.w_h), before)
    shown = {"i": gates.i / after.n, "f": gates.f * before.n / after.n, "g": gates.g, "o": gates.o}
    return {name: _merged(gate) for name, gate in (shown | {"c": after.c / after.n}).items()}


# Of every step: h_t, the gates, and keep_t * c_{t-1} and keep_t * n_{t-1}.
_Kept = tuple[Array, _Gates, Array, Array]
_Residuals = tuple[Array, SLSTMCarry, SLSTMCarry, Array | None, Array | None, _Kept]


def _slstm_fwd(
    params: SLSTMParams, carry: SLSTMCarry, zs: Array, resets: Array | None, mask: Array | None
) -> tuple[tuple[SLSTMCarry, Array], _Residuals]:
    heads = params.w_h.shape[0]
    first = jax.tree.map(lambda state: _by_head(state, heads), carry)
    mask = None if mask is None else _by_head(mask, heads)
    resets = None if resets is None else resets[..., None]

    def step(carry: SLSTMCarry, here: Any, _: _Kept) -> tuple[SLSTMCarry, _Kept]:
        z, reset = here
        carry = reset_state(carry, reset)
        gates, after = _cell(z + products_by_head(masked(carry.h, mask), params.w_h), carry)
        return after, (after.h, gates, carry.c, carry.n)

    hs, c_prev, n_prev, *gates = (blank(zs.shape[0], first.h) for _ in range(8))
    last, kept = time_loop(step, first, (_by_head(zs, heads), resets), (hs, _Gates(*gates), c_prev, n_prev))
    return (jax.tree.map(_merged, last), _merged(kept[0])), (params.w_h, first, last, resets, mask, kept)


def _slstm_bwd(
    residuals: _Residuals, cotangents: tuple[SLSTMCarry, Array]
) -> tuple[SLSTMParams, SLSTMCarry, Array, None, None]:
    """One reverse loop that yields dz; then dW_h of each head = sum_t (keep_t * m * h_{t-1})^T dz_t."""
    w_h, first, last, resets, mask, (hs, gates, c_prev, n_prev) = residuals
    heads = w_h.shape[0]
    d_last, d_hs = jax.tree.map(lambda cotangent: _by_head(cotangent, heads), cotangents)
    w_h_t = w_h.swapaxes(1, 2)

    def step(d_next: SLSTMCarry, inputs: Any, _: Array) -> tuple[SLSTMCarry, Array]:
        d_h, (i, f, g, o, opened), c_before, n_before, reset = inputs
        n = f * n_before + i
        q = (f * c_before + i * g) / n
        dh = d_h + d_next.h
        dc = d_next.c + dh * o / n
        dn = d_next.n - dh * o * q / n
        is_kept = f >= i  # m_t is l + m_{t-1}
        u_before = jnp.where(is_kept, d_next.m, 0)
        dz_i = (dc * g + dn) * i + (d_next.m - u_before)
        dz_f = ((dc * c_before + dn * n_before) * f + u_before) * (1 - opened)
        dz_g = dc * i * (1 - g * g)
        dz_o = dh * q * o * (1 - o)
        dz = jnp.concatenate([dz_i, dz_f, dz_g, dz_o], axis=-1)
        d_before = SLSTMCarry(masked(products_by_head(dz, w_h_t), mask), dc * f, dn * f, u_before)
        return reset_state(d_before, reset), dz

    u_last = d_last.m - (d_last.c * last.c + d_last.n * last.n)
    dzs = blank(len(hs), jnp.concatenate([first.h] * 4, axis=-1))
    inputs = d_hs, gates, c_prev, n_prev, resets
    d_first, dzs = time_loop(step, d_last._replace(m=u_last), inputs, dzs, reverse=True)
    read = reset_state(first, resets[0]) if resets is not None and len(hs) else first
    d_first = d_first._replace(m=d_first.m + d_first.c * read.c + d_first.n * read.n)

    h_prev = reset_state(
        masked(jnp.concatenate([first.h[None], hs])[:-1], mask), resets
    )  # keep_t * m * h_{t-1}
    d_params = SLSTMParams(NO_GRADIENT, weight_gradients_by_head(h_prev, dzs, w_h), NO_GRADIENT)
    return d_params, jax.tree.map(_merged, d_first), _merged(dzs), None, None


slstm_recurrence.defvjp(_slstm_fwd, _slstm_bwd)
