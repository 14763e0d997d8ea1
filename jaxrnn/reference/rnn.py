"""Simple recurrent network (Elman 1990), and backpropagation through time (Werbos 1990).

One step makes a new state h from the input and the state before:

    z_t = x_t @ w_x + h_{t-1} @ w_h + b                                              (1)
    h_t = tanh(z_t)                                                                  (2)

Unrolled over time this is an ordinary deep network, one layer a step, whose layers happen to share their
weights. So its gradient is ordinary backpropagation, from the last step to the first. Three thoughts make it.

First, h_t is used twice: it is the output of step t, and the initial state of step t+1. Its gradient is
the sum of both, and both are known when the loop, running backward, arrives at t:

    d_h_t = (as an output) + (from step t+1)                                         (3)

Second, through one step go the chain rule for tanh (its derivative is 1 - tanh^2, and tanh = h_t is at hand)
and then the rules of dense.py, once for x_t and once for h_{t-1}:

    d_z_t     = d_h_t * (1 - h_t^2)                                                  (4)
    d_x_t     = d_z_t @ w_x.T                                                        (5)
    d_h_{t-1} = d_z_t @ w_h.T         the second term of (3), one step earlier       (6)

Third, the weights are used in every step, so each of their gradients is a sum over the steps:

    d_w_x = sum_t x_t.T @ d_z_t,   d_w_h = sum_t h_{t-1}.T @ d_z_t,   d_b = sum_t d_z_t          (7)

the last of which sums over the batch, too.

A gradient that has come k steps back has passed k times through (4) and (6): k factors of w_h, and k factors
of 1 - h^2, which is at most 1. That is how gradients vanish or explode in this network (Bengio et al. 1994),
and why lstm.py exists.

Where a document begins in the middle of a sequence, k_t = 0, and else k_t = 1: h_{t-1} becomes k_t * h_{t-1} in (1) and
in d_w_h of (7), and d_h_{t-1} of (6) gets the factor k_t, so that nothing goes back from one document into another.

Step by step: docs/maths.md, section 3.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_orthogonal, draw_uniform, keep


class RNNParams(NamedTuple):
    """Parameters of a simple recurrent layer."""

    w_x: Array  # [I, H]
    w_h: Array  # [H, H]
    b: Array  # [H]


class RNNCarry(NamedTuple):
    """The state from one step to the next."""

    h: Array  # [B, H]


class RNNStep(NamedTuple):
    """The residuals of one step."""

    x: Array  # [B, I], x_t
    h_before: Array  # [B, H], k_t * h_{t-1}
    h: Array  # [B, H], h_t
    k: Array  # [B, 1]


def init_rnn(rng: np.random.Generator, input_size: int, hidden_size: int) -> RNNParams:
    """Uniform input weights, orthogonal recurrent weights, no bias."""
    return RNNParams(
        w_x=draw_uniform(rng, input_size, hidden_size),
        w_h=draw_orthogonal(rng, hidden_size),
        b=np.zeros(hidden_size),
    )


def rnn_forward(
    params: RNNParams, carry: RNNCarry, xs: Array, resets: Array | None = None
) -> tuple[RNNCarry, Array, list[RNNStep]]:
    """Map xs [T, B, I], T at least 1, to the last state, all states hs [T, B, H], and one record a step.

    The state is reset to zeros before each step where resets [T, B] is true.
    """
    h = carry.h
    hs = []
    residuals = []
    for x, k in zip(xs, keep(resets, xs), strict=True):
        h_before = k * h
        z = x @ params.w_x + h_before @ params.w_h + params.b  # (1)
        h = np.tanh(z)  # (2)
        hs.append(h)
        residuals.append(RNNStep(x, h_before, h, k))
    return RNNCarry(h), np.stack(hs), residuals


def rnn_backward(
    params: RNNParams, residuals: list[RNNStep], d_carry: RNNCarry, d_hs: Array
) -> tuple[RNNParams, RNNCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangent of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, I]. The gradient of the first
        state is the `d_carry` of the piece of the sequence before this one: so a sequence can be cut
        anywhere.
    """
    d_w_x, d_w_h, d_b = (np.zeros_like(leaf) for leaf in params)
    d_xs = []
    d_h = d_carry.h
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        d_h = d_output + d_h  # (3)
        d_z = d_h * (1 - step.h**2)  # (4)
        d_w_x += step.x.T @ d_z  # (7)
        d_w_h += step.h_before.T @ d_z  # (7)
        d_b += d_z.sum(axis=0)  # (7)
        d_xs.append(d_z @ params.w_x.T)  # (5)
        d_h = step.k * (d_z @ params.w_h.T)  # (6)
    # The loop met the last step first.
    return RNNParams(d_w_x, d_w_h, d_b), RNNCarry(d_h), np.stack(d_xs[::-1])
