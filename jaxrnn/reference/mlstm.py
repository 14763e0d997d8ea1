"""mLSTM with sigmoid gates (Beck et al. 2024, arXiv:2405.04517, and 2025, arXiv:2503.14376): a memory that is a matrix.

In each head, with q, k, v [D] and two numbers z_i and z_f:

    q, k, v, z_o, z_i, z_f = x_t @ w_x + b          hidden columns of each of the first four, heads of the last two  (1)
    i = sigmoid(z_i),  f = sigmoid(z_f)
    C_t = f * C_{t-1} + i * outer(k, v)             v is stored under the key k                                  (2)
    y = q @ C_t / sqrt(D)                           what is stored under keys like q is read                     (3)
    h_t = sigmoid(z_o) * u * scale,  u = y / rms(y)                                                              (4)

Backward. The norm by rms_norm.py; then C_t is used by (3) and by step t+1:

    d_y = (from the norm);   d_z_o = d_h * u * scale * o * (1 - o)                                        by (4) (5)
    d_C_t = (from step t+1) + outer(q, d_y) / sqrt(D)                                                     by (3) (6)
    d_q = d_y @ C_t.T / sqrt(D)                                                                           by (3) (7)
    d_k = i * d_C_t @ v,   d_v = i * k @ d_C_t                                                            by (2) (8)
    d_i = k @ d_C_t @ v,   d_f = sum of d_C_t * C_{t-1},   d_C_{t-1} = f * d_C_t                          by (2) (9)
    d_z_i = d_i * i * (1 - i),   d_z_f = d_f * f * (1 - f)                                                      (10)

d_x, d_w_x and d_b follow by the rule of dense.py. Where a document begins, k_t = 0
multiplies C_{t-1} and what goes back.

The library computes many steps at once; here it is one after the other.

Step by step: docs/maths.md, section 19.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, keep, sigmoid
from jaxrnn.reference.rms_norm import RMSNormParams, RMSNormResiduals, rms_norm_backward, rms_norm_forward


class MLSTMParams(NamedTuple):
    """Parameters of an mLSTM; the columns are q, k, v and z_o, H of each, then z_i and z_f, one a head."""

    w_x: Array  # [I, 4H + 2 heads]
    b: Array  # [4H + 2 heads]
    scale: Array  # [heads, D]


class MLSTMCarry(NamedTuple):
    """The state from one step to the next."""

    c: Array  # [B, heads * D * D]


class MLSTMStep(NamedTuple):
    """The residuals of one step, [B, heads, D] unless noted."""

    x: Array  # [B, I], x_t
    c_before: Array  # [B, heads, D, D], k_t * C_{t-1}
    c: Array  # [B, heads, D, D], C_t
    q: Array
    k: Array
    v: Array
    o: Array
    i: Array  # [B, heads, 1]
    f: Array  # [B, heads, 1]
    norm: RMSNormResiduals
    keep: Array  # [B, 1, 1, 1]


def init_mlstm(rng: np.random.Generator, input_size: int, hidden_size: int, heads: int) -> MLSTMParams:
    """Uniform weights; forget biases from 3 to 6, the other biases 0."""
    columns = 4 * hidden_size + 2 * heads
    b = np.zeros(columns)
    b[-heads:] = np.linspace(3, 6, heads)
    return MLSTMParams(draw_uniform(rng, input_size, columns), b, np.ones((heads, hidden_size // heads)))


def mlstm_forward(
    params: MLSTMParams, carry: MLSTMCarry, xs: Array, resets: Array | None = None
) -> tuple[MLSTMCarry, Array, list[MLSTMStep]]:
    """Map xs [T, B, I], T at least 1, to the last memories, all hs [T, B, H], and one record a step.

    The memories are reset to zeros before each step where resets [T, B] is true.
    """
    heads, size = params.scale.shape
    batch_size = xs.shape[1]
    c = carry.c.reshape(batch_size, heads, size, size)
    hs = []
    residuals = []
    for x, kept in zip(xs, keep(resets, xs)[..., None, None], strict=True):
        units, gates = np.split(x @ params.w_x + params.b, [4 * heads * size], axis=-1)  # (1)
        q, k, v, z_o = units.reshape(batch_size, 4, heads, size).swapaxes(0, 1)
        i, f = sigmoid(gates).reshape(batch_size, 2, heads, 1).swapaxes(0, 1)
        c_before = kept * c
        c = f[..., None] * c_before + i[..., None] * k[..., :, None] * v[..., None, :]  # (2)
        y = np.einsum("bhd,bhde->bhe", q, c) / np.sqrt(size)  # (3)
        normalized, norm = rms_norm_forward(RMSNormParams(params.scale), y)
        o = sigmoid(z_o)
        hs.append((o * normalized).reshape(batch_size, -1))  # (4)
        residuals.append(MLSTMStep(x, c_before, c, q, k, v, o, i, f, norm, kept))
    return MLSTMCarry(c.reshape(batch_size, -1)), np.stack(hs), residuals


def mlstm_backward(
    params: MLSTMParams, residuals: list[MLSTMStep], d_carry: MLSTMCarry, d_hs: Array
) -> tuple[MLSTMParams, MLSTMCarry, Array]:
    """From the cotangents of the last memories and of hs [T, B, H] to those of parameters, first memories and xs."""
    heads, size = params.scale.shape
    d_w_x, d_b, d_scale = (np.zeros_like(leaf) for leaf in params)
    batch_size = d_hs.shape[1]
    d_c = d_carry.c.reshape(batch_size, heads, size, size)
    d_xs = []
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        q, k, v, o, i, f = step.q, step.k, step.v, step.o, step.i, step.f
        d_h = d_output.reshape(batch_size, heads, size)
        d_z_o = d_h * step.norm.u * params.scale * o * (1 - o)  # (5)
        d_norm, d_y = rms_norm_backward(RMSNormParams(params.scale), step.norm, d_h * o)  # (5)
        d_scale += d_norm.scale
        d_c = d_c + q[..., :, None] * d_y[..., None, :] / np.sqrt(size)  # (6)
        d_q = np.einsum("bhe,bhde->bhd", d_y, step.c) / np.sqrt(size)  # (7)
        d_k = i * np.einsum("bhde,bhe->bhd", d_c, v)  # (8)
        d_v = i * np.einsum("bhd,bhde->bhe", k, d_c)  # (8)
        d_i = np.einsum("bhd,bhde,bhe->bh", k, d_c, v)[..., None]  # (9)
        d_f = (d_c * step.c_before).sum(axis=(-2, -1))[..., None]  # (9)
        d_c = step.keep * f[..., None] * d_c  # (9)
        d_gates = [d_i * i * (1 - i), d_f * f * (1 - f)]  # (10)
        d_z = np.concatenate(
            [part.reshape(batch_size, -1) for part in (d_q, d_k, d_v, d_z_o, *d_gates)], axis=1
        )
        d_xs.append(d_z @ params.w_x.T)
        d_w_x += step.x.T @ d_z
        d_b += d_z.sum(axis=0)
    return MLSTMParams(d_w_x, d_b, d_scale), MLSTMCarry(d_c.reshape(batch_size, -1)), np.stack(d_xs[::-1])
