"""Dropout: in training, some of the numbers become zero (Srivastava et al. 2014).

    y = x * mask                                                                     (1)

The mask is 0 with probability `rate`, and 1 / (1 - rate) elsewhere, so that the mean of y over all masks
is x and nothing needs to be rescaled when dropout is switched off. Given the mask, (1) is linear:

    d_x = d_y * mask                                                                 (2)

What was dropped had no say in the loss, so it gets no gradient. Variational dropout (Gal and Ghahramani
2016) has one mask [1, B, E] for all time steps of a sequence: (1) and (2) stay, at each time step with the
same mask. The mask is an argument: the layer draws
nothing itself, and can be differentiated and repeated like the others.

Step by step: docs/maths.md, section 9.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array


class DropoutResiduals(NamedTuple):
    """The residuals of dropout."""

    mask: Array | None  # of the shape of xs, or of one of its time steps; None where nothing was dropped


def draw_mask(
    rng: np.random.Generator, rate: float, shape: tuple[int, ...], *, variational: bool = False
) -> Array:
    """A mask for xs of this shape: zeros (with probability `rate`, 0 <= rate < 1) and 1 / (1 - rate).

    A variational one is of the shape [1, B, E], and serves for every time step.
    """
    return (rng.random((1, *shape[1:]) if variational else shape) >= rate) / (1 - rate)


def dropout_forward(mask: Array | None, xs: Array) -> tuple[Array, DropoutResiduals]:
    """Map xs [T, B, E] to outputs [T, B, E] and residuals; without a mask, xs are returned unchanged."""
    return (xs if mask is None else xs * mask), DropoutResiduals(mask)  # (1)


def dropout_backward(residuals: DropoutResiduals, d_ys: Array) -> Array:
    """Map d_ys [T, B, E] to d_xs [T, B, E]."""
    return d_ys if residuals.mask is None else d_ys * residuals.mask  # (2)
