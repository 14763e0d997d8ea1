"""Dense layer: every vector times one matrix, plus a bias.

    y = x @ w + b                                                                    (1)

Three rules follow from (1), and every other layer here uses them. Write it for one entry,

    y[r, o] = sum_i x[r, i] w[i, o] + b[o]

where r counts the vectors. The chain rule sums over every path from a variable to L, and all paths go
through y:

    d_x[r, i] = sum_o d_y[r, o] w[i, o]     that is     d_x = d_y @ w.T              (2)
    d_w[i, o] = sum_r x[r, i] d_y[r, o]     that is     d_w = x.T @ d_y              (3)
    d_b[o]    = sum_r d_y[r, o]             that is     d_b = d_y summed over r      (4)

A variable used many times, as w is by every vector, collects a sum of one term a use: the sums over r in
(3) and (4).

Step by step: docs/maths.md, section 2.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_uniform


class DenseParams(NamedTuple):
    """Parameters of a dense layer."""

    w: Array  # [I, O]
    b: Array  # [O]


class DenseResiduals(NamedTuple):
    """The residuals of a dense layer: x, for (3)."""

    xs: Array  # [T, B, I]


def init_dense(rng: np.random.Generator, input_size: int, size: int) -> DenseParams:
    """Uniform weights of variance 1 / input_size, and no bias."""
    return DenseParams(w=draw_uniform(rng, input_size, size), b=np.zeros(size))


def dense_forward(params: DenseParams, xs: Array) -> tuple[Array, DenseResiduals]:
    """Map xs [T, B, I] to outputs [T, B, O] and residuals."""
    return xs @ params.w + params.b, DenseResiduals(xs)  # (1)


def dense_backward(params: DenseParams, residuals: DenseResiduals, d_ys: Array) -> tuple[DenseParams, Array]:
    """Map d_ys [T, B, O] to gradients of the parameters and d_xs [T, B, I]."""
    input_size, size = params.w.shape
    x = residuals.xs.reshape(-1, input_size)  # time and batch are alike here: T * B vectors, a row for each
    d_y = d_ys.reshape(-1, size)
    d_w = x.T @ d_y  # (3)
    d_b = d_y.sum(axis=0)  # (4)
    d_xs = d_ys @ params.w.T  # (2)
    return DenseParams(d_w, d_b), d_xs
