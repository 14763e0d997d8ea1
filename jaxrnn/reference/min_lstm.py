"""minLSTM (Feng et al. 2024, arXiv:2410.01201): an LSTM whose gates and candidate see the input alone.

    p = x_t @ w_x + b               split into p_i, p_f, p_g                         (1)
    i' = sigmoid(p_i),   f' = sigmoid(p_f)                                           (2)
    i = i' / (i' + f'),   f = f' / (i' + f')    input and forget gate: i + f = 1     (3)
    g = phi(p_g)                    the candidate, as in min_gru.py                  (4)
    h_t = f * h_{t-1} + i * g                                                        (5)

Because i + f = 1, a state is a weighted mean of candidates, and cannot grow beyond them. (5) is the recurrence of
linear_scan.py with a = f, and u = i * g for its b. Its backward pass yields d_f and d_u:

    d_i = d_u * g,   d_g = d_u * i                                     by (5)        (6)
    d_i' = (d_i - m) / (i' + f'),   d_f' = (d_f - m) / (i' + f'),
    with m = d_i * i + d_f * f: each of i' and f' is also in the sum   by (3)        (7)
    d_p_i = d_i' * i' * (1 - i'),   d_p_f = d_f' * f' * (1 - f')       by (2)        (8)
    d_p_g = d_g * (1 if g >= 1/2 else g * (1 - g))                     by (4)        (9)
    d_x_t = d_p @ w_x.T,   d_w_x = sum_t x_t.T @ d_p,   d_b = sum_t d_p    by (1)    (10)

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, sigmoid
from jaxrnn.reference.dense import DenseParams, DenseResiduals, dense_backward, dense_forward
from jaxrnn.reference.linear_scan import LinearScanResiduals, linear_scan_backward, linear_scan_forward
from jaxrnn.reference.min_gru import phi, phi_backward


class MinLSTMParams(NamedTuple):
    """Parameters of a minLSTM; the columns are i, f and g, each H wide."""

    w_x: Array  # [I, 3H]
    b: Array  # [3H]


class MinLSTMCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]


class MinLSTMResiduals(NamedTuple):
    """The residuals of all steps."""

    dense: DenseResiduals
    i_raw: Array  # [T, B, H], sigmoid(p_i)
    f_raw: Array  # [T, B, H]
    i: Array  # [T, B, H]
    f: Array  # [T, B, H]
    g: Array  # [T, B, H]
    scan: LinearScanResiduals


def init_min_lstm(rng: np.random.Generator, input_size: int, hidden_size: int) -> MinLSTMParams:
    """Uniform weights, no biases."""
    return MinLSTMParams(draw_uniform(rng, input_size, 3 * hidden_size), np.zeros(3 * hidden_size))


def min_lstm_forward(
    params: MinLSTMParams, carry: MinLSTMCarry, xs: Array, resets: Array | None = None
) -> tuple[MinLSTMCarry, Array, MinLSTMResiduals]:
    """Map xs [T, B, I], T at least 1, to the last state, all states hs [T, B, H], and residuals.

    The state is reset to zeros before each step where resets [T, B] is true.
    """
    ps, dense = dense_forward(DenseParams(*params), xs)  # (1)
    p_i, p_f, p_g = np.split(ps, 3, axis=-1)
    i_raw, f_raw, g = sigmoid(p_i), sigmoid(p_f), phi(p_g)  # (2), (4)
    i, f = i_raw / (i_raw + f_raw), f_raw / (i_raw + f_raw)  # (3)
    h, hs, scan = linear_scan_forward(f, i * g, carry.h, resets)  # (5)
    return MinLSTMCarry(h), hs, MinLSTMResiduals(dense, i_raw, f_raw, i, f, g, scan)


def min_lstm_backward(
    params: MinLSTMParams, residuals: MinLSTMResiduals, d_carry: MinLSTMCarry, d_hs: Array
) -> tuple[MinLSTMParams, MinLSTMCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangent of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, I].
    """
    dense, i_raw, f_raw, i, f, g, scan = residuals
    d_f, d_u, d_h = linear_scan_backward(scan, d_carry.h, d_hs)
    d_i, d_g = d_u * g, d_u * i  # (6)
    mean = d_i * i + d_f * f  # (7)
    d_i_raw, d_f_raw = (d_i - mean) / (i_raw + f_raw), (d_f - mean) / (i_raw + f_raw)  # (7)
    d_p_i, d_p_f = d_i_raw * i_raw * (1 - i_raw), d_f_raw * f_raw * (1 - f_raw)  # (8)
    d_p_g = phi_backward(g, d_g)  # (9)
    d_p = np.concatenate([d_p_i, d_p_f, d_p_g], axis=-1)
    d_params, d_xs = dense_backward(DenseParams(*params), dense, d_p)  # (10)
    return MinLSTMParams(*d_params), MinLSTMCarry(d_h), d_xs
