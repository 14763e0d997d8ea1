"""minGRU (Feng et al. 2024, arXiv:2410.01201): a GRU whose gate and candidate see the input alone.

    p = x_t @ w_x + b               split into p_z, p_n                              (1)
    z = sigmoid(p_z)                update gate: how much is written                 (2)
    n = phi(p_n)                    the candidate                                    (3)
    h_t = (1 - z) * h_{t-1} + z * n                                                  (4)

with phi(p) = p + 1/2 where p >= 0, and sigmoid(p) where it is negative, which keeps all states positive.

(4) is the recurrence of linear_scan.py with a = 1 - z, and u = z * n for its b. Its backward pass yields d_a and d_u:

    d_z = d_u * n - d_a,   d_n = d_u * z                               by (4)        (5)
    d_p_z = d_z * z * (1 - z)                                          by (2)        (6)
    d_p_n = d_n * (1 if n >= 1/2 else n * (1 - n))                     by (3)        (7)
    d_x_t = d_p @ w_x.T,   d_w_x = sum_t x_t.T @ d_p,   d_b = sum_t d_p    by (1)    (8)

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, sigmoid
from jaxrnn.reference.dense import DenseParams, DenseResiduals, dense_backward, dense_forward
from jaxrnn.reference.linear_scan import LinearScanResiduals, linear_scan_backward, linear_scan_forward


class MinGRUParams(NamedTuple):
    """Parameters of a minGRU; the columns are z and n, each H wide."""

    w_x: Array  # [I, 2H]
    b: Array  # [2H]


class MinGRUCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]


class MinGRUResiduals(NamedTuple):
    """The residuals of all steps."""

    dense: DenseResiduals
    z: Array  # [T, B, H]
    n: Array  # [T, B, H]
    scan: LinearScanResiduals


def init_min_gru(rng: np.random.Generator, input_size: int, hidden_size: int) -> MinGRUParams:
    """Uniform weights, no biases."""
    return MinGRUParams(draw_uniform(rng, input_size, 2 * hidden_size), np.zeros(2 * hidden_size))


def phi(p: Array) -> Array:
    """p + 1/2 where p is at least 0, else sigmoid(p)."""
    return np.where(p >= 0, p + 0.5, sigmoid(p))


def phi_backward(n: Array, d_n: Array) -> Array:
    """From the value n of phi and its cotangent to the gradient of p."""
    return d_n * np.where(n >= 0.5, 1, n * (1 - n))


def min_gru_forward(
    params: MinGRUParams, carry: MinGRUCarry, xs: Array, resets: Array | None = None
) -> tuple[MinGRUCarry, Array, MinGRUResiduals]:
    """Map xs [T, B, I], T at least 1, to the last state, all states hs [T, B, H], and residuals.

    The state is reset to zeros before each step where resets [T, B] is true.
    """
    ps, dense = dense_forward(DenseParams(*params), xs)  # (1)
    p_z, p_n = np.split(ps, 2, axis=-1)
    z, n = sigmoid(p_z), phi(p_n)  # (2), (3)
    h, hs, scan = linear_scan_forward(1 - z, z * n, carry.h, resets)  # (4)
    return MinGRUCarry(h), hs, MinGRUResiduals(dense, z, n, scan)


def min_gru_backward(
    params: MinGRUParams, residuals: MinGRUResiduals, d_carry: MinGRUCarry, d_hs: Array
) -> tuple[MinGRUParams, MinGRUCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangent of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, I].
    """
    dense, z, n, scan = residuals
    d_a, d_u, d_h = linear_scan_backward(scan, d_carry.h, d_hs)
    d_z, d_n = d_u * n - d_a, d_u * z  # (5)
    d_p_z = d_z * z * (1 - z)  # (6)
    d_p_n = phi_backward(n, d_n)  # (7)
    d_p = np.concatenate([d_p_z, d_p_n], axis=-1)
    d_params, d_xs = dense_backward(DenseParams(*params), dense, d_p)  # (8)
    return MinGRUParams(*d_params), MinGRUCarry(d_h), d_xs
