"""Long short-term memory (Hochreiter and Schmidhuber 1997), with the forget gate of Gers et al. (2000).

Beside the state h that it shows, the layer keeps a cell c that it changes only gently. Four vectors come
from one matrix product each way, in the order i, f, g, o:

    z_t = x_t @ w_x + h_{t-1} @ w_h + b           split into z_i, z_f, z_g, z_o      (1)
    i = sigmoid(z_i)      input gate: how much of the new goes in
    f = sigmoid(z_f)      forget gate: how much of the old stays
    g = tanh(z_g)         the new
    o = sigmoid(z_o)      output gate: how much of the cell is shown                 (2)
    c_t = f * c_{t-1} + i * g                                                        (3)
    h_t = o * tanh(c_t)                                                              (4)

Backward, as in rnn.py: h_t collects from outside and from step t+1. The cell collects from h_t
and from step t+1. From the output inward:

    d_h_t = (as an output) + (from step t+1)                                         (5)
    d_o   = d_h_t * tanh(c_t)                                          by (4)        (6)
    d_c_t = (from step t+1) + d_h_t * o * (1 - tanh(c_t)^2)            by (4)        (7)
    d_i   = d_c_t * g,   d_g = d_c_t * i,   d_f = d_c_t * c_{t-1}      by (3)        (8)
    d_c_{t-1} = d_c_t * f                                              by (3)        (9)

Then through the gates, where sigmoid' = s (1 - s) and tanh' = 1 - g^2:

    d_z_i = d_i * i * (1 - i),   d_z_f = d_f * f * (1 - f),
    d_z_g = d_g * (1 - g^2),     d_z_o = d_o * o * (1 - o)                           (10)

and through (1), which is the same as in the simple network:

    d_x_t = d_z_t @ w_x.T,   d_h_{t-1} = d_z_t @ w_h.T                               (11)
    d_w_x = sum_t x_t.T @ d_z_t,   d_w_h = sum_t h_{t-1}.T @ d_z_t,   d_b = sum_t d_z_t          (12)

the last of which sums over the batch, too.

Equation (9) is the point of it all: from cell to cell the gradient meets no weight and no squashing
function, just the forget gate. While that is open, a gradient arrives from far away undiminished.

Two options. A mask m [B, H] on the state that w_h reads, the same at every step: h_{t-1} becomes m * h_{t-1} in (1) and
in d_w_h of (12), and d_h_{t-1} of (11) gets the factor m. And resets: where a document begins in the middle of a
sequence, k_t = 0, and else k_t = 1; k_t * h_{t-1} and k_t * c_{t-1} replace h_{t-1} and c_{t-1} in (1), (3), (8) and
(12), and d_h_{t-1} of (11) and d_c_{t-1} of (9) get the factor k_t.

Step by step: docs/maths.md, section 4.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_orthogonal, draw_uniform, keep, sigmoid


class LSTMParams(NamedTuple):
    """Parameters of an LSTM; the columns hold the gates i, f, g, o, each H wide."""

    w_x: Array  # [I, 4H]
    w_h: Array  # [H, 4H]
    b: Array  # [4H]


class LSTMCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]
    c: Array  # [B, H]


class LSTMStep(NamedTuple):
    """The residuals of one step, [B, H] unless noted."""

    x: Array  # [B, I], x_t
    h_before: Array  # k_t * m * h_{t-1}
    c_before: Array  # k_t * c_{t-1}
    i: Array
    f: Array
    g: Array
    o: Array
    tanh_c: Array  # tanh(c_t)
    k: Array  # [B, 1]
    mask: Array | float


def init_lstm(rng: np.random.Generator, input_size: int, hidden_size: int) -> LSTMParams:
    """Uniform input weights; an orthogonal recurrent matrix a gate; forget bias 1, the other biases 0.

    With forget bias 1 the gate starts out mostly open, so that (9) lets gradients through from the first
    step of training on.
    """
    b = np.zeros(4 * hidden_size)
    b[hidden_size : 2 * hidden_size] = 1
    return LSTMParams(
        w_x=draw_uniform(rng, input_size, 4 * hidden_size),
        w_h=np.concatenate([draw_orthogonal(rng, hidden_size) for _ in range(4)], axis=1),
        b=b,
    )


def lstm_forward(
    params: LSTMParams,
    carry: LSTMCarry,
    xs: Array,
    resets: Array | None = None,
    mask: Array | float = 1.0,
) -> tuple[LSTMCarry, Array, list[LSTMStep]]:
    """Map xs [T, B, I], T at least 1, to the last h and c, all hs [T, B, H], and one record a step.

    Args:
        params: the weights.
        carry: h and c before the first step.
        xs: [T, B, I].
        resets: [T, B], whether the state is reset to zeros before a step.
        mask: the factors [B, H] on what w_h reads.
    """
    h, c = carry.h, carry.c
    hs = []
    residuals = []
    for x, k in zip(xs, keep(resets, xs), strict=True):
        h_before, c_before = k * mask * h, k * c
        z = x @ params.w_x + h_before @ params.w_h + params.b  # (1)
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)  # (2)
        c = f * c_before + i * g  # (3)
        tanh_c = np.tanh(c)
        h = o * tanh_c  # (4)
        hs.append(h)
        residuals.append(LSTMStep(x, h_before, c_before, i, f, g, o, tanh_c, k, mask))
    return LSTMCarry(h, c), np.stack(hs), residuals


def lstm_backward(
    params: LSTMParams, residuals: list[LSTMStep], d_carry: LSTMCarry, d_hs: Array
) -> tuple[LSTMParams, LSTMCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangents of the last h and c; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first h and c, and of xs [T, B, I].
    """
    d_w_x, d_w_h, d_b = (np.zeros_like(leaf) for leaf in params)
    d_xs = []
    d_h, d_c = d_carry.h, d_carry.c
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        d_z, d_c = lstm_step_backward(step, d_output + d_h, d_c)  # (5)
        d_xs.append(d_z @ params.w_x.T)  # (11)
        d_h, d_c = step.k * step.mask * (d_z @ params.w_h.T), step.k * d_c  # (11), (9)
        d_w_x += step.x.T @ d_z  # (12)
        d_w_h += step.h_before.T @ d_z  # (12)
        d_b += d_z.sum(axis=0)  # (12)
    return LSTMParams(d_w_x, d_w_h, d_b), LSTMCarry(d_h, d_c), np.stack(d_xs[::-1])


def lstm_step_backward(step: LSTMStep, d_h: Array, d_c: Array) -> tuple[Array, Array]:
    """One step: from the cotangents of h_t and (from step t+1) c_t, [B, H], to those of z_t [B, 4H] and c_{t-1}."""
    i, f, g, o = step.i, step.f, step.g, step.o
    d_o = d_h * step.tanh_c  # (6)
    d_c = d_c + d_h * o * (1 - step.tanh_c**2)  # (7)
    d_i, d_g, d_f = d_c * g, d_c * i, d_c * step.c_before  # (8)
    d_z_i = d_i * i * (1 - i)  # (10)
    d_z_f = d_f * f * (1 - f)
    d_z_g = d_g * (1 - g**2)
    d_z_o = d_o * o * (1 - o)
    return np.concatenate([d_z_i, d_z_f, d_z_g, d_z_o], axis=-1), d_c * f  # (9)
