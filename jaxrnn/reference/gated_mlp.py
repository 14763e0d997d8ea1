"""A gated feed-forward layer, SwiGLU (Shazeer 2020, arXiv:2002.05202).

    a = x @ w_a,  v = x @ w_v               the two halves of the columns of w_in        (1)
    s = a * sigmoid(a)                      SiLU                                         (2)
    w = s * v,   y = w @ w_out                                                           (3)

Backward, the rule of dense.py for each product:

    d_w = d_y @ w_out.T,   d_w_out = sum over positions of w.T @ d_y           by (3)    (4)
    d_v = d_w * s,   d_s = d_w * v                                             by (3)    (5)
    d_a = d_s * (sigmoid(a) + a * sigmoid(a) * (1 - sigmoid(a)))               by (2)    (6)
    d_x = [d_a, d_v] @ w_in.T,   d_w_in = sum over positions of x.T @ [d_a, d_v]         (7)

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform, sigmoid


class GatedMLPParams(NamedTuple):
    """Parameters of a gated feed-forward layer."""

    w_in: Array  # [size, 2 * hidden]
    w_out: Array  # [hidden, size]


class GatedMLPResiduals(NamedTuple):
    """The residuals, one for each position."""

    x: Array  # [..., size]
    a: Array  # [..., hidden]
    v: Array  # [..., hidden]


def init_gated_mlp(rng: np.random.Generator, size: int, hidden_size: int) -> GatedMLPParams:
    """Uniform weights."""
    return GatedMLPParams(draw_uniform(rng, size, 2 * hidden_size), draw_uniform(rng, hidden_size, size))


def gated_mlp_forward(params: GatedMLPParams, xs: Array) -> tuple[Array, GatedMLPResiduals]:
    """Map xs [..., size] to the same shape."""
    a, v = np.split(xs @ params.w_in, 2, axis=-1)  # (1)
    s = a * sigmoid(a)  # (2)
    return (s * v) @ params.w_out, GatedMLPResiduals(xs, a, v)  # (3)


def gated_mlp_backward(
    params: GatedMLPParams, residuals: GatedMLPResiduals, d_ys: Array
) -> tuple[GatedMLPParams, Array]:
    """From d_ys [..., size] to the gradients of the weights and of xs."""
    x, a, v = residuals
    s = a * sigmoid(a)
    d_w = d_ys @ params.w_out.T  # (4)
    d_v, d_s = d_w * s, d_w * v  # (5)
    d_a = d_s * (sigmoid(a) + a * sigmoid(a) * (1 - sigmoid(a)))  # (6)
    d_in = np.concatenate([d_a, d_v], axis=-1)
    positions = tuple(range(x.ndim - 1))
    d_params = GatedMLPParams(
        w_in=np.tensordot(x, d_in, (positions, positions)),  # (7)
        w_out=np.tensordot(s * v, d_ys, (positions, positions)),  # (4)
    )
    return d_params, d_in @ params.w_in.T  # (7)
