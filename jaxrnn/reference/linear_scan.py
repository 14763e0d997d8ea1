"""The linear recurrence that min_gru.py, min_lstm.py and rg_lru.py have in common.

    h_t = a_t * h_{t-1} + b_t                                                        (1)

The factors a and the terms b come from the inputs alone. So no matrix stands between one state and the next, and
what happens to a gradient on its way back is plain to see: it is multiplied by a_t, unit by unit.

    d_h_t = (as an output) + (from step t+1)                                         (2)
    d_a_t = d_h_t * h_{t-1},   d_b_t = d_h_t                           by (1)        (3)
    d_h_{t-1} = d_h_t * a_t           the second term of (2), one step earlier       (4)

Where a document begins, k_t = 0, and else k_t = 1: h_{t-1} becomes k_t * h_{t-1} in (1) and (3), and d_h_{t-1} of (4)
gets the factor k_t.

Step by step: docs/maths.md, section 20.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, keep


class LinearScanResiduals(NamedTuple):
    """The residuals of all steps."""

    a: Array  # [T, B, H]
    h_before: Array  # [T, B, H], k_t * h_{t-1}
    k: Array  # [T, B, 1]


def linear_scan_forward(
    a: Array, b: Array, carry: Array, resets: Array | None = None
) -> tuple[Array, Array, LinearScanResiduals]:
    """Map a and b [T, B, H], T at least 1, to the last state, all states hs [T, B, H], and residuals.

    The state, carry [B, H] at first, is reset to zeros before each step where resets [T, B] is true.
    """
    k = keep(resets, b)
    h = carry
    hs = []
    before = []
    for t in range(len(b)):
        before.append(k[t] * h)
        h = a[t] * before[t] + b[t]  # (1)
        hs.append(h)
    return h, np.stack(hs), LinearScanResiduals(a, np.stack(before), k)


def linear_scan_backward(
    residuals: LinearScanResiduals, d_carry: Array, d_hs: Array
) -> tuple[Array, Array, Array]:
    """From cotangents of the last state and of all states to the gradients of a, b and the first state."""
    a, h_before, k = residuals
    d_h = d_carry
    d_b = np.zeros_like(d_hs)
    for t in reversed(range(len(d_hs))):
        d_b[t] = d_hs[t] + d_h  # (2), (3)
        d_h = k[t] * (d_b[t] * a[t])  # (4)
    return d_b * h_before, d_b, d_h  # (3)
