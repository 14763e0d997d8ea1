"""RG-LRU, the real-gated linear recurrent unit of Griffin (De et al. 2024, arXiv:2402.19427).

Each unit forgets at a rate of its own, which a gate on the input can slow down:

    p = x_t @ w_x + b               split into p_r, p_i; x_t is as wide as h_t       (1)
    r = sigmoid(p_r),   i = sigmoid(p_i)                                             (2)
    a = exp(l),   l = -8 * softplus(A) * r      the decay, between 0 and 1           (3)
    s = sqrt(1 - a^2)                                                                (4)
    h_t = a * h_{t-1} + s * i * x_t                                                  (5)

If the terms i * x_t are independent with variance 1, so is h_t: a^2 + s^2 = 1. (5) is the recurrence of linear_scan.py,
with u = s * i * x_t for its b. Its backward pass yields d_u and the first term of d_a; the second comes through s:

    d_s = d_u * i * x_t,   d_i = d_u * s * x_t                         by (5)        (6)
    d_a += d_s * (-a / s)                                              by (4)        (7)
    d_l = d_a * a                                                      by (3)        (8)
    d_A = sum_t d_l * (-8 * r) * sigmoid(A),   d_r = d_l * (-8 * softplus(A))        (9)
    d_p_r = d_r * r * (1 - r),   d_p_i = d_i * i * (1 - i)             by (2)        (10)
    d_x_t = d_u * s * i + d_p @ w_x.T,   d_w_x = sum_t x_t.T @ d_p,   d_b = sum_t d_p    (11)

Where a document begins in the middle of a sequence, linear_scan.py resets the state; nothing changes here.

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, sigmoid
from jaxrnn.reference.dense import DenseParams, DenseResiduals, dense_backward, dense_forward
from jaxrnn.reference.linear_scan import LinearScanResiduals, linear_scan_backward, linear_scan_forward


class RGLRUParams(NamedTuple):
    """Parameters of an RG-LRU; the columns are r and i, each H wide."""

    w_x: Array  # [H, 2H]
    b: Array  # [2H]
    a_param: Array  # [H], A


class RGLRUCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]


class RGLRUResiduals(NamedTuple):
    """The residuals of all steps."""

    dense: DenseResiduals
    xs: Array  # [T, B, H]
    r: Array  # [T, B, H]
    i: Array  # [T, B, H]
    a: Array  # [T, B, H]
    s: Array  # [T, B, H]
    scan: LinearScanResiduals


def init_rg_lru(rng: np.random.Generator, size: int, min_decay: float = 0.9) -> RGLRUParams:
    """Uniform weights, no biases, and a decay for each unit in [min_decay, 0.999] where r = 1."""
    decay = rng.uniform(min_decay, 0.999, size)
    # softplus(A) = -log(decay) / 8, and the inverse of softplus is log(exp(.) - 1).
    return RGLRUParams(
        draw_uniform(rng, size, 2 * size), np.zeros(2 * size), np.log(np.expm1(-np.log(decay) / 8))
    )


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow; its derivative is the sigmoid."""
    return np.logaddexp(0, x)


def rg_lru_forward(
    params: RGLRUParams, carry: RGLRUCarry, xs: Array, resets: Array | None = None
) -> tuple[RGLRUCarry, Array, RGLRUResiduals]:
    """Map xs [T, B, H], T at least 1, to the last state, all states hs [T, B, H], and residuals.

    The state is reset to zeros before each step where resets [T, B] is true.
    """
    ps, dense = dense_forward(DenseParams(params.w_x, params.b), xs)  # (1)
    p_r, p_i = np.split(ps, 2, axis=-1)
    r, i = sigmoid(p_r), sigmoid(p_i)  # (2)
    a = np.exp(-8 * softplus(params.a_param) * r)  # (3)
    s = np.sqrt(1 - a**2)  # (4)
    h, hs, scan = linear_scan_forward(a, s * i * xs, carry.h, resets)  # (5)
    return RGLRUCarry(h), hs, RGLRUResiduals(dense, xs, r, i, a, s, scan)


def rg_lru_backward(
    params: RGLRUParams, residuals: RGLRUResiduals, d_carry: RGLRUCarry, d_hs: Array
) -> tuple[RGLRUParams, RGLRUCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangent of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, H].
    """
    dense, xs, r, i, a, s, scan = residuals
    d_a, d_u, d_h = linear_scan_backward(scan, d_carry.h, d_hs)
    d_s, d_i = d_u * i * xs, d_u * s * xs  # (6)
    d_a = d_a - d_s * a / s  # (7)
    d_l = d_a * a  # (8)
    d_a_param = (d_l * -8 * r).sum(axis=(0, 1)) * sigmoid(params.a_param)  # (9)
    d_r = d_l * -8 * softplus(params.a_param)  # (9)
    d_p = np.concatenate([d_r * r * (1 - r), d_i * i * (1 - i)], axis=-1)  # (10)
    of_dense, d_xs = dense_backward(DenseParams(params.w_x, params.b), dense, d_p)  # (11)
    d_params = RGLRUParams(of_dense.w, of_dense.b, d_a_param)
    return d_params, RGLRUCarry(d_h), d_u * s * i + d_xs  # (11)
