"""Gated recurrent unit (Cho et al. 2014), in the variant that resets after the matrix product.

Two gates decide how the new state is mixed from the old one and a candidate n. In the order r, z, n:

    p = x_t @ w_x + b               split into p_r, p_z, p_n                         (1)
    a = h_{t-1} @ w_h               split into a_r, a_z, a_n                         (2)
    r = sigmoid(p_r + a_r)          reset gate: how much the candidate sees of the old
    z = sigmoid(p_z + a_z)          update gate: how much of the old stays           (3)
    q = a_n + b_n                                                                    (4)
    n = tanh(p_n + r * q)           the candidate                                    (5)
    h_t = (1 - z) * n + z * h_{t-1}                                                  (6)

Cho's paper resets before the product: (r * h_{t-1}) @ w_hn in place of r * (h_{t-1} @ w_hn + b_n).
Resetting after it is what PyTorch and cuDNN compute: the products of all three gates are then one, (2).
It is also why n needs a bias on each side: b_n stands inside the bracket that r multiplies, the n part of
b outside.

Backward, as in rnn.py. h_{t-1} is used three times now: in (6), and in (2) for the gates and for the
candidate.

    d_h_t = (as an output) + (from step t+1)                                         (7)
    d_n = d_h_t * (1 - z),   d_z = d_h_t * (h_{t-1} - n)               by (6)        (8)
    d_p_n = d_n * (1 - n^2)                                            by (5)        (9)
    d_r = d_p_n * q,   d_q = d_p_n * r                                 by (5)        (10)
    d_p_r = d_r * r * (1 - r),   d_p_z = d_z * z * (1 - z)             by (3)        (11)

The gates get the same gradient on both sides of the plus in (3); the candidate does not, since r stands
between:

    d_p = [d_p_r, d_p_z, d_p_n]        by (1), (3), (5)
    d_a = [d_p_r, d_p_z, d_q]          by (2), (3), (4)                              (12)

    d_x_t = d_p @ w_x.T,   d_h_{t-1} = d_h_t * z + d_a @ w_h.T                       (13)
    d_w_x = sum_t x_t.T @ d_p,       d_b = sum_t d_p,
    d_w_h = sum_t h_{t-1}.T @ d_a,   d_b_n = sum_t d_q                               (14)

with the sums for b and b_n over the batch too. Along d_h_t * z in (13) a gradient travels as it does from
cell to cell in the LSTM.

Where a document begins in the middle of a sequence, k_t = 0, and else k_t = 1: h_{t-1} becomes k_t * h_{t-1} in (2),
(6), (8) and (14), and d_h_{t-1} of (13) gets the factor k_t.

Step by step: docs/maths.md, section 5.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_orthogonal, draw_uniform, keep, sigmoid


class GRUParams(NamedTuple):
    """Parameters of a GRU; the columns hold r, z, n, each H wide."""

    w_x: Array  # [I, 3H]
    w_h: Array  # [H, 3H]
    b: Array  # [3H]
    b_n: Array  # [H], the bias on the recurrent side of n


class GRUCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]


class GRUStep(NamedTuple):
    """The residuals of one step, [B, H] unless noted."""

    x: Array  # [B, I], x_t
    h_before: Array  # k_t * h_{t-1}
    r: Array
    z: Array
    n: Array
    q: Array
    k: Array  # [B, 1]


def init_gru(rng: np.random.Generator, input_size: int, hidden_size: int) -> GRUParams:
    """Uniform input weights, an orthogonal recurrent matrix for each of r, z, n, no biases."""
    return GRUParams(
        w_x=draw_uniform(rng, input_size, 3 * hidden_size),
        w_h=np.concatenate([draw_orthogonal(rng, hidden_size) for _ in range(3)], axis=1),
        b=np.zeros(3 * hidden_size),
        b_n=np.zeros(hidden_size),
    )


def gru_forward(
    params: GRUParams, carry: GRUCarry, xs: Array, resets: Array | None = None
) -> tuple[GRUCarry, Array, list[GRUStep]]:
    """Map xs [T, B, I], T at least 1, to the last state, all states hs [T, B, H], and one record a step.

    The state is reset to zeros before each step where resets [T, B] is true.
    """
    h = carry.h
    hs = []
    residuals = []
    for x, k in zip(xs, keep(resets, xs), strict=True):
        h_before = k * h
        p_r, p_z, p_n = np.split(x @ params.w_x + params.b, 3, axis=-1)  # (1)
        a_r, a_z, a_n = np.split(h_before @ params.w_h, 3, axis=-1)  # (2)
        r, z = sigmoid(p_r + a_r), sigmoid(p_z + a_z)  # (3)
        q = a_n + params.b_n  # (4)
        n = np.tanh(p_n + r * q)  # (5)
        h = (1 - z) * n + z * h_before  # (6)
        hs.append(h)
        residuals.append(GRUStep(x, h_before, r, z, n, q, k))
    return GRUCarry(h), np.stack(hs), residuals


def gru_backward(
    params: GRUParams, residuals: list[GRUStep], d_carry: GRUCarry, d_hs: Array
) -> tuple[GRUParams, GRUCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangent of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, I].
    """
    d_w_x, d_w_h, d_b, d_b_n = (np.zeros_like(leaf) for leaf in params)
    d_xs = []
    d_h = d_carry.h
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        r, z, n = step.r, step.z, step.n
        d_h = d_output + d_h  # (7)
        d_n, d_z = d_h * (1 - z), d_h * (step.h_before - n)  # (8)
        d_p_n = d_n * (1 - n**2)  # (9)
        d_r, d_q = d_p_n * step.q, d_p_n * r  # (10)
        d_p_r, d_p_z = d_r * r * (1 - r), d_z * z * (1 - z)  # (11)
        d_p = np.concatenate([d_p_r, d_p_z, d_p_n], axis=-1)  # (12)
        d_a = np.concatenate([d_p_r, d_p_z, d_q], axis=-1)  # (12)
        d_xs.append(d_p @ params.w_x.T)  # (13)
        d_h = step.k * (d_h * z + d_a @ params.w_h.T)  # (13)
        d_w_x += step.x.T @ d_p  # (14)
        d_b += d_p.sum(axis=0)  # (14)
        d_w_h += step.h_before.T @ d_a  # (14)
        d_b_n += d_q.sum(axis=0)  # (14)
    return GRUParams(d_w_x, d_w_h, d_b, d_b_n), GRUCarry(d_h), np.stack(d_xs[::-1])
