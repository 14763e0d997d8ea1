"""The mogrifier LSTM (Melis, Kocisky and Blunsom, 2020): input and state gate each other, then an LSTM reads them.

Before step t of lstm.py, x = x_t and h = k_t * m * h_{t-1} gate each other in R rounds (m is a dropout mask or 1, k_t
is 0 where a document begins and else 1). In round rho = 1, 2, ... the source v gates the target u: h gates x in odd
rounds, x gates h in even ones.

    zeta = v @ w_in @ w_out        without w_in at full rank                         (1)
    gamma = 2 sigmoid(zeta)        between 0 and 2, and 1 where the source is 0      (2)
    u <- gamma * u                                                                   (3)

The result replaces x_t and h_{t-1} in (1) and (12) of lstm.py: the weights multiply the modulated vectors.

Backward, after d_z_t of lstm.py: d_x = d_z_t @ w_x.T and d_h = d_z_t @ w_h.T, then round by round from the last to the
first, where sigmoid' = s (1 - s) makes gamma' = 2 (gamma / 2) (1 - gamma / 2):

    d_gamma = d_u * u,   d_u <- d_u * gamma                      by (3)              (4)
    d_zeta = d_gamma * gamma * (1 - gamma / 2)                   by (2)              (5)
    d_v <- d_v + d_zeta @ w_out.T @ w_in.T                       by (1)              (6)
    d_w_out = (v @ w_in).T @ d_zeta,   d_w_in = v.T @ (d_zeta @ w_out.T)             (7)

with the u from before the round, and the weights' gradients summed over all steps.

Step by step: docs/maths.md, section 7.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, keep, sigmoid
from jaxrnn.reference.lstm import (
    LSTMCarry,
    LSTMParams,
    LSTMStep,
    init_lstm,
    lstm_forward,
    lstm_step_backward,
)
from jaxrnn.reference.optimizer import map_leaves


class MogrifierRound(NamedTuple):
    """The weights of one round."""

    w_out: Array  # [source, target], or [rank, target]
    w_in: Array | None  # None, or [source, rank]


class MogrifierLSTMParams(NamedTuple):
    """Parameters of a mogrifier LSTM."""

    w_x: Array  # [I, 4H]
    w_h: Array  # [H, 4H]
    b: Array  # [4H]
    rounds: tuple[MogrifierRound, ...]


class MogrifierStep(NamedTuple):
    """The residuals of one step."""

    cell: LSTMStep  # with x and h as the rounds left them
    pairs: list[list[Array]]  # [x, h] before each round
    gates: list[Array]  # gamma of each round
    k: Array  # [B, 1], k_t
    mask: Array | float


def init_mogrifier_lstm(
    rng: np.random.Generator, input_size: int, hidden_size: int, rounds: int, rank: int = 0
) -> MogrifierLSTMParams:
    """An LSTM, and uniform weights for the rounds; rank 0 is full rank."""
    drawn = []
    for number in range(rounds):
        source, target = (hidden_size, input_size) if number % 2 == 0 else (input_size, hidden_size)
        if rank == 0:
            drawn.append(MogrifierRound(draw_uniform(rng, source, target), None))
        else:
            drawn.append(MogrifierRound(draw_uniform(rng, rank, target), draw_uniform(rng, source, rank)))
    return MogrifierLSTMParams(*init_lstm(rng, input_size, hidden_size), tuple(drawn))


def mogrifier_lstm_forward(
    params: MogrifierLSTMParams,
    carry: LSTMCarry,
    xs: Array,
    resets: Array | None = None,
    mask: Array | float = 1.0,
) -> tuple[LSTMCarry, Array, list[MogrifierStep]]:
    """Map xs [T, B, I], T at least 1, to the last h and c, all hs [T, B, H], and one record a step.

    The arguments are those of `lstm_forward`.
    """
    hs, residuals = [], []
    for x, k_t in zip(xs, keep(resets, xs), strict=True):
        pair, pairs, gates = [x, k_t * mask * carry.h], [], []
        for rho, (w_out, w_in) in enumerate(params.rounds):
            pairs.append(list(pair))
            source = pair[1 - rho % 2]
            zeta = source @ w_out if w_in is None else source @ w_in @ w_out  # (1)
            gates.append(2 * sigmoid(zeta))  # (2)
            pair[rho % 2] = gates[rho] * pair[rho % 2]  # (3)
        cell_params = LSTMParams(params.w_x, params.w_h, params.b)
        carry, (h,), (cell,) = lstm_forward(cell_params, LSTMCarry(pair[1], k_t * carry.c), pair[0][None])
        hs.append(h)
        residuals.append(MogrifierStep(cell, pairs, gates, k_t, mask))
    return carry, np.stack(hs), residuals


def mogrifier_lstm_backward(
    params: MogrifierLSTMParams, residuals: list[MogrifierStep], d_carry: LSTMCarry, d_hs: Array
) -> tuple[MogrifierLSTMParams, LSTMCarry, Array]:
    """Backpropagation through time, with arguments and results as `lstm_backward` has them."""
    d_w_x, d_w_h, d_b = (np.zeros_like(leaf) for leaf in (params.w_x, params.w_h, params.b))
    d_rounds = list(map_leaves(np.zeros_like, params.rounds))
    d_xs = []
    d_h, d_c = d_carry.h, d_carry.c
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        d_z, d_c = lstm_step_backward(step.cell, d_output + d_h, d_c)
        d_w_x += step.cell.x.T @ d_z
        d_w_h += step.cell.h_before.T @ d_z
        d_b += d_z.sum(axis=0)
        d_pair = [d_z @ params.w_x.T, d_z @ params.w_h.T]
        for rho in reversed(range(len(params.rounds))):
            (w_out, w_in), gamma, pair = params.rounds[rho], step.gates[rho], step.pairs[rho]
            source, d_target = pair[1 - rho % 2], d_pair[rho % 2]
            d_zeta = d_target * pair[rho % 2] * gamma * (1 - gamma / 2)  # (4), (5)
            d_pair[rho % 2] = d_target * gamma  # (4)
            d_projected = d_zeta @ w_out.T
            d_source = d_projected if w_in is None else d_projected @ w_in.T
            d_pair[1 - rho % 2] = d_pair[1 - rho % 2] + d_source  # (6)
            d_w_out = (source if w_in is None else source @ w_in).T @ d_zeta  # (7)
            d_w_in = None if w_in is None else source.T @ d_projected  # (7)
            d_rounds[rho] = map_leaves(np.add, d_rounds[rho], MogrifierRound(d_w_out, d_w_in))
        d_xs.append(d_pair[0])
        d_h, d_c = step.k * step.mask * d_pair[1], step.k * d_c
    return MogrifierLSTMParams(d_w_x, d_w_h, d_b, tuple(d_rounds)), LSTMCarry(d_h, d_c), np.stack(d_xs[::-1])
