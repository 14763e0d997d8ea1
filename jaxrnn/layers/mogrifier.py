"""The mogrifier LSTM (Melis, Kocisky and Blunsom, 2020): input and state gate each other before an LSTM reads them.

forward     x^0 = x_t and h^0 = m * h_{t-1} (m the dropout mask of lstm.py, if any). In round rho = 1 ... R the source v
            gates the target u: h gates x in odd rounds, x gates h in even ones.

            zeta^rho = v^{rho-1} Q^rho              Q^rho a matrix, or of low rank: Q^rho = Q_1^rho Q_2^rho
            gamma^rho = 2 sigmoid(zeta^rho) = 1 + tanh(zeta^rho / 2)
            u^rho = gamma^rho * u^{rho-1}           and v^rho = v^{rho-1}

            z_t = x^R W_x + b + h^R W_h             then an LSTM: lstm.py

backward    From z_t to h_{t-1} and x_t, with dz_t from the LSTM's cell:

            dx^R = dz_t W_x^T,   dh^R = dz_t W_h^T
            for rho = R ... 1:
            dzeta^rho = du^rho * u^{rho-1} * gamma^rho (2 - gamma^rho) / 2     gamma' = gamma (2 - gamma) / 2
            du^{rho-1} = du^rho * gamma^rho                                    through the product, to the target
            dv^{rho-1} = dv^rho + dzeta^rho (Q^rho)^T                          through the gate, to the source
            dx_t = dx^0,   dh_{t-1} = m * dh^0

            The loop yields dz, dzeta and dx. Every weight's gradient is one matrix product after it, with the modulated
            input and state:

            dW_x = sum_t (x^R)^T dz_t,   dW_h = sum_t (h^R)^T dz_t,   db = sum_t sum_batch dz_t,
            dQ^rho = sum_t (v^{rho-1})^T dzeta^rho_t

            and of low rank dQ_2 = sum_t (v Q_1)^T dzeta_t, dQ_1 = sum_t v^T (dzeta_t Q_2^T), with v = v^{rho-1}.
            Kept from the forward pass: the residuals of the LSTM, and gamma^rho, from which all x^rho and h^rho are
            recomputed.

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): h^0 = keep_t * m * h_{t-1}, and the
            LSTM reads keep_t * c_{t-1}. So dh_{t-1} = keep_t * m * dh^0, and dc_{t-1} = keep_t * dc_t * f.

There is no input projection: x_t is gated by the state, so its product with W_x is inside the loop, in one with
W_h, and does not commute with a look-up in the embedding table.

Step by step: docs/maths.md, section 7.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.lstm import (
    LSTMCarry,
    LSTMParams,
    init_lstm,
    lstm_cell,
    lstm_cell_bwd,
    lstm_gates,
    masked,
    widen,
)
from jaxrnn.layers.product import loop_product, product, weight_gradient
from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.single_step import single_step
from jaxrnn.layers.time_loop import blank, time_loop
from jaxrnn.types import Array, Key, check_mask, check_resets, check_sequence


class MogrifierRound(NamedTuple):
    """The weights of one round, from the source's features to the target's."""

    w_out: Array  # [source, target], or of low rank B [rank, target]
    w_in: Array | None  # None, or A [source, rank]


class MogrifierLSTMParams(NamedTuple):
    """The parameters of a mogrifier LSTM layer; columns of the first three are the gates i, f, g, o."""

    w_x: Array  # [input, 4 * hidden]
    w_h: Array  # [hidden, 4 * hidden]
    b: Array  # [4 * hidden]
    rounds: tuple[MogrifierRound, ...]


def init_mogrifier_lstm(
    key: Key, input_size: int, hidden_size: int, rounds: int, rank: int = 0, dtype: DTypeLike = jnp.float32
) -> MogrifierLSTMParams:
    """Draw an LSTM as `init_lstm` does, and Glorot-uniform weights for the rounds; rank 0 is full rank.

    States begin small, and so all gates of the rounds begin near 1, where they change nothing.
    """
    key_lstm, *keys = jax.random.split(key, 1 + rounds)
    glorot = jax.nn.initializers.glorot_uniform()

    def draw(key: Key, source: int, target: int) -> MogrifierRound:
        if rank == 0:
            return MogrifierRound(glorot(key, (source, target), dtype), None)
        key_out, key_in = jax.random.split(key)
        return MogrifierRound(glorot(key_out, (rank, target), dtype), glorot(key_in, (source, rank), dtype))

    sizes = (hidden_size, input_size)
    drawn = tuple(draw(k, sizes[n % 2], sizes[1 - n % 2]) for n, k in enumerate(keys))
    return MogrifierLSTMParams(*init_lstm(key_lstm, input_size, hidden_size, dtype), drawn)


def mogrifier_lstm(
    params: MogrifierLSTMParams,
    carry: LSTMCarry,
    xs: Array,
    *,
    mask: Array | None = None,
    resets: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """Run a mogrifier LSTM layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `MogrifierLSTMParams`, from `init_mogrifier_lstm`.
        carry: `LSTMCarry(h, c)`, each `[batch, hidden]`, from `lstm_carry`.
        xs: `[time, batch, input]`.
        mask: factors `[batch, hidden]` on h before the rounds, the same at all steps; a constant, without a gradient.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the hidden states `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxrnn import lstm_carry
        >>> params = init_mogrifier_lstm(jax.random.key(0), input_size=3, hidden_size=4, rounds=5, rank=2)
        >>> carry, hs = mogrifier_lstm(params, lstm_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.c.shape
        ((5, 2, 4), (2, 4))
    """
    check_sequence("mogrifier_lstm", xs, params.w_x, params.w_h.shape[0], carry)
    check_mask("mogrifier_lstm", mask, carry.h)
    check_resets("mogrifier_lstm", resets, xs)
    return _recurrence(params, carry, xs, resets, mask)


def mogrifier_lstm_step(
    params: MogrifierLSTMParams,
    carry: LSTMCarry,
    x: Array,
    *,
    mask: Array | None = None,
    reset: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """Run a mogrifier LSTM layer for one time step.

    Args:
        params: as for `mogrifier_lstm`.
        carry: as for `mogrifier_lstm`, the state before the step.
        x: `[batch, input]`.
        mask: factors `[batch, hidden]`, as for `mogrifier_lstm`; None is no mask.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxrnn import lstm_carry
        >>> params = init_mogrifier_lstm(jax.random.key(0), input_size=3, hidden_size=4, rounds=5)
        >>> carry, h = mogrifier_lstm_step(params, lstm_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(mogrifier_lstm, params, carry, x, reset, mask=mask)


@jax.custom_vjp
def _recurrence(
    params: MogrifierLSTMParams, carry: LSTMCarry, xs: Array, resets: Array | None, mask: Array | None
) -> tuple[LSTMCarry, Array]:
    outputs, _ = _mogrifier_fwd(params, carry, xs, resets, mask)
    return outputs


# Of every step: h_t, the four gates, keep_t * c_{t-1} and tanh(c_t) as in lstm.py, and the rounds' a^k.
_Kept = tuple[Array, Array, Array, Array, tuple[Array, ...]]
_Residuals = tuple[MogrifierLSTMParams, Array, Array, Array | None, Array | None, _Kept]
_Yields = tuple[Array, Array, tuple[Array, ...]]  # dz, dx and the dzeta^k


def _mogrifier_fwd(
    params: MogrifierLSTMParams, carry: LSTMCarry, xs: Array, resets: Array | None, mask: Array | None
) -> tuple[tuple[LSTMCarry, Array], _Residuals]:
    times_w = loop_product(jnp.concatenate([params.w_x, params.w_h]))
    rounds = [[loop_product(w) for w in (r.w_in, r.w_out) if w is not None] for r in params.rounds]

    def step(carry: LSTMCarry, inputs: tuple[Array, Array | None], _: _Kept) -> tuple[LSTMCarry, _Kept]:
        x, reset = inputs
        carry = reset_state(carry, reset)
        gating, pair = _mogrify(rounds, [x, masked(carry.h, mask)])
        z = times_w(jnp.concatenate(pair, axis=-1)) + params.b[None]
        gates, tanh_c, after = lstm_cell(z, carry.c)
        return after, (after.h, gates, carry.c, tanh_c, gating)

    time, h = xs.shape[0], carry.h
    gating = tuple(blank(time, h) if k % 2 else jnp.empty_like(xs) for k in range(len(rounds)))
    gates = blank(time, jnp.concatenate([h] * 4, axis=-1))
    kept = blank(time, h), gates, blank(time, h), blank(time, h), gating
    carry_out, kept = time_loop(step, carry, (xs, resets), kept)
    return (carry_out, kept[0]), (params, carry.h, xs, resets, mask, kept)


_Rounds = list[list[Callable[[Array], Array]]]  # of each round, the products that lead from source to zeta


def _mogrify(rounds: _Rounds, pair: list[Array]) -> tuple[tuple[Array, ...], list[Array]]:
    """Return the a^k, and [x^r, h^r] from [x^0, h^0]."""
    gating = []
    for k, products in enumerate(rounds):
        zeta = pair[1 - k % 2]  # x is the target of the first round
        for times in products:
            zeta = times(zeta)
        gating.append((1 + jnp.tanh(widen(zeta) / 2)).astype(zeta.dtype))
        pair[k % 2] = gating[k] * pair[k % 2]
    return tuple(gating), pair


def mogrifier_lstm_gates(params: MogrifierLSTMParams, carry: LSTMCarry, xs: Array) -> dict[str, Array]:
    """Return what `lstm_gates` returns, for a mogrifier LSTM."""
    rounds: _Rounds = [
        [partial(product, w=w) for w in (r.w_in, r.w_out) if w is not None] for r in params.rounds
    ]
    _, (x, h) = _mogrify(rounds, [xs, carry.h])
    return lstm_gates(LSTMParams(params.w_x, params.w_h, params.b), carry._replace(h=h), x)


def _mogrified(x: Array, h: Array, gating: tuple[Array, ...]) -> list[list[Array]]:
    """Return the pairs [x^k, h^k] for k = 0 ... r, of one step or of all."""
    pairs = [[x, h]]
    for k, a in enumerate(gating):
        before = pairs[k]
        pairs.append([before[0], a * before[1]] if k % 2 else [a * before[0], before[1]])
    return pairs


def _mogrifier_bwd(
    residuals: _Residuals, cotangents: tuple[LSTMCarry, Array]
) -> tuple[MogrifierLSTMParams, LSTMCarry, Array, None, None]:
    """One reverse loop that yields dz, dx and dzeta; then the gradients of all weights."""
    params, h_0, xs, resets, mask, (hs, gates, c_prev, tanh_cs, gating) = residuals
    d_carry, d_hs = cotangents
    h_prev = reset_state(masked(jnp.concatenate([h_0[None], hs])[:-1], mask), resets)  # keep_t * m * h_{t-1}
    times_w_t = loop_product(jnp.concatenate([params.w_x, params.w_h]).T)
    rounds = [[loop_product(w.T) for w in (r.w_out, r.w_in) if w is not None] for r in params.rounds]

    def step(d_next: LSTMCarry, inputs: Any, _: _Yields) -> tuple[LSTMCarry, _Yields]:
        d_h, ifgo, c_before, tanh_c, (x, h, a), reset = inputs
        dz, dc = lstm_cell_bwd(ifgo, c_before, tanh_c, d_h + d_next.h, d_next.c)
        pairs = _mogrified(x, h, a)
        d_pair = jnp.split(times_w_t(dz), [x.shape[-1]], axis=-1)
        d_zetas: list[Array] = []
        for k in reversed(range(len(rounds))):
            target = k % 2
            d_zeta = d_pair[target] * pairs[k][target] * a[k] * (2 - a[k]) / 2
            d_pair[target] = d_pair[target] * a[k]
            d_zetas.insert(0, d_zeta)
            for times in rounds[k]:
                d_zeta = times(d_zeta)
            d_pair[1 - target] = d_pair[1 - target] + d_zeta
        d_before = reset_state(LSTMCarry(h=masked(d_pair[1], mask), c=dc), reset)
        return d_before, (dz, d_pair[0], tuple(d_zetas))

    inputs = (d_hs, gates, c_prev, tanh_cs, (xs, h_prev, gating), resets)
    yields = (jnp.empty_like(gates), jnp.empty_like(xs), tuple(jnp.empty_like(a) for a in gating))
    d_carry_0, (dzs, d_xs, d_zetas) = time_loop(step, d_carry, inputs, yields, reverse=True)

    pairs = _mogrified(xs, h_prev, gating)
    d_params = MogrifierLSTMParams(
        w_x=weight_gradient(pairs[-1][0], dzs, params.w_x),
        w_h=weight_gradient(pairs[-1][1], dzs, params.w_h),
        b=dzs.sum((0, 1)).astype(params.b.dtype),
        rounds=tuple(
            _round_gradient(r, pairs[k][1 - k % 2], d_zetas[k]) for k, r in enumerate(params.rounds)
        ),
    )
    return d_params, d_carry_0, d_xs, None, None


_recurrence.defvjp(_mogrifier_fwd, _mogrifier_bwd)


def _round_gradient(weights: MogrifierRound, sources: Array, d_zetas: Array) -> MogrifierRound:
    """Return dQ, or dA and dB, from all steps' s^{k-1} and dzeta^k."""
    if weights.w_in is None:
        return MogrifierRound(weight_gradient(sources, d_zetas, weights.w_out), None)
    return MogrifierRound(
        w_out=weight_gradient(product(sources, weights.w_in), d_zetas, weights.w_out),
        w_in=weight_gradient(sources, product(d_zetas, weights.w_out.T), weights.w_in),
    )
