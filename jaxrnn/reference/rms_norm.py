"""RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467): each vector divided by its root mean square.

    r = 1 / sqrt(mean(x^2) + eps),   u = r * x                  the mean is over the n features      (1)
    y = u * scale                                                                                    (2)

Backward. Each feature of x is used twice, in its own place and in r, which all features share:

    d_u = d_y * scale,   d_scale = sum over positions of d_y * u                        by (2)       (3)
    d_r = sum over features of d_u * x,   and   d r / d x_j = -r^3 * x_j / n            by (1)       (4)
    d_x = d_u * r - r^3 * x * mean(d_u * x) = r * (d_u - u * mean(d_u * u))                          (5)

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array

EPSILON = 1e-6


class RMSNormParams(NamedTuple):
    """Parameters of an RMSNorm."""

    scale: Array  # [features]


class RMSNormResiduals(NamedTuple):
    """The residuals, one for each position."""

    u: Array  # [..., features]
    r: Array  # [..., 1]


def init_rms_norm(size: int) -> RMSNormParams:
    """A scale of ones."""
    return RMSNormParams(np.ones(size))


def rms_norm_forward(params: RMSNormParams, xs: Array) -> tuple[Array, RMSNormResiduals]:
    """Map xs [..., features] to vectors of the same shape."""
    r = 1 / np.sqrt((xs**2).mean(axis=-1, keepdims=True) + EPSILON)  # (1)
    u = r * xs
    return u * params.scale, RMSNormResiduals(u, r)  # (2)


def rms_norm_backward(
    params: RMSNormParams, residuals: RMSNormResiduals, d_ys: Array
) -> tuple[RMSNormParams, Array]:
    """From d_ys [..., features] to the gradients of the scale and of xs."""
    u, r = residuals
    positions = tuple(range(d_ys.ndim - params.scale.ndim))
    d_u = d_ys * params.scale  # (3)
    d_xs = r * (d_u - u * (d_u * u).mean(axis=-1, keepdims=True))  # (5)
    return RMSNormParams((d_ys * u).sum(axis=positions)), d_xs
