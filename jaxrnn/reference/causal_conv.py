"""A causal convolution over time, each feature for itself.

    y_t = b + sum over k of tap_k * x_{t-k},   k = 0 ... width - 1                       (1)

The first outputs need inputs from before the sequence; the carry has the last width - 1 of them. Where a document
begins at step t, everything in this window is reset to zero before x_t is put in.

Backward. Each input is used in width outputs, by another tap in each:

    d_x_{t-k} += tap_k * d_y_t                                                           (2)
    d_tap_k = sum_t x_{t-k} * d_y_t,   d_b = sum_t d_y_t                                 (3)

with the sums over the batch too. The code keeps the window as the state of a recurrence, one step after the other, so
that (2) is a sum into the cotangent of the window, which then moves one step back.

Step by step: docs/maths.md, section 18.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, keep


class CausalConvParams(NamedTuple):
    """Parameters of a causal convolution."""

    taps: Array  # [width, size], the first for the present input
    b: Array  # [size]


class CausalConvCarry(NamedTuple):
    """The state from one step to the next."""

    xs: Array  # [B, (width - 1) * size], the last inputs, the oldest first


class CausalConvStep(NamedTuple):
    """The residuals of one step."""

    window: Array  # [B, width, size]: x_{t-width+1} ... x_t, the earlier ones times k_t
    k: Array  # [B, 1, 1]


def init_causal_conv(rng: np.random.Generator, size: int, width: int) -> CausalConvParams:
    """Taps uniform in +-1/sqrt(width), no biases."""
    return CausalConvParams(rng.uniform(-1, 1, (width, size)) / np.sqrt(width), np.zeros(size))


def causal_conv_forward(
    params: CausalConvParams, carry: CausalConvCarry, xs: Array, resets: Array | None = None
) -> tuple[CausalConvCarry, Array, list[CausalConvStep]]:
    """Map xs [T, B, size], T at least 1, to the last inputs, all outputs [T, B, size], and one record a step.

    Earlier inputs are forgotten before each step where resets [T, B] is true.
    """
    width, size = params.taps.shape
    earlier = carry.xs.reshape(-1, width - 1, size)
    ys = []
    residuals = []
    for x, k in zip(xs, keep(resets, xs)[..., None], strict=True):
        window = np.concatenate([k * earlier, x[:, None]], axis=1)
        ys.append(params.b + (window * params.taps[::-1]).sum(axis=1))  # (1)
        residuals.append(CausalConvStep(window, k))
        earlier = window[:, 1:]
    return CausalConvCarry(earlier.reshape(len(earlier), -1)), np.stack(ys), residuals


def causal_conv_backward(
    params: CausalConvParams, residuals: list[CausalConvStep], d_carry: CausalConvCarry, d_ys: Array
) -> tuple[CausalConvParams, CausalConvCarry, Array]:
    """From the cotangents of the last inputs and of ys [T, B, size] to those of the parameters, first inputs and xs."""
    width, size = params.taps.shape
    d_taps, d_b = (np.zeros_like(leaf) for leaf in params)
    d_earlier = d_carry.xs.reshape(-1, width - 1, size)
    d_xs = []
    for (window, k), d_y in zip(reversed(residuals), d_ys[::-1], strict=True):
        d_window = d_y[:, None] * params.taps[::-1]  # (2)
        d_window[:, 1:] += d_earlier
        d_taps[::-1] += (window * d_y[:, None]).sum(axis=0)  # (3)
        d_b += d_y.sum(axis=0)
        d_xs.append(d_window[:, -1])
        d_earlier = k * d_window[:, :-1]
    d_first = CausalConvCarry(d_earlier.reshape(len(d_earlier), -1))
    return CausalConvParams(d_taps, d_b), d_first, np.stack(d_xs[::-1])
