"""Softmax cross-entropy: the negative log-likelihood of the target character.

The logits z of one position become probabilities, and the loss is the negative logarithm of the one that
belongs to the target character k:

    p[v] = exp(z[v]) / sum_u exp(z[u])                                               (1)
    loss = -log p[k] = log sum_u exp(z[u]) - z[k]                                    (2)

Its unit is the nat; divided by log 2 it is bits. A uniform distribution has log V nats.
From (2), with the derivative of log-sum-exp with respect to z[v] being exp(z[v]) / sum_u exp(z[u]) = p[v]:

    d_z[v] = d_loss * (p[v] - [v is k])                                              (3)

The gradient is the predicted distribution minus the one-hot target. It sums to zero over v:
logits matter only relative to one another. For the same reason a number may be taken off all logits
first; with the largest one, exp can't overflow.

Step by step: docs/maths.md, section 10.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array


class CrossEntropyResiduals(NamedTuple):
    """The residuals of softmax cross-entropy."""

    probabilities: Array  # [..., V]
    targets: Array  # [...], integers


def softmax_cross_entropy_forward(logits: Array, targets: Array) -> tuple[Array, CrossEntropyResiduals]:
    """Logits [..., V], target ids [...] -> losses [...] in nats, residuals."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    sums = np.exp(shifted).sum(axis=-1, keepdims=True)
    probabilities = np.exp(shifted) / sums  # (1)
    of_target = np.take_along_axis(shifted, targets[..., None], axis=-1)
    losses = np.squeeze(np.log(sums) - of_target, axis=-1)  # (2)
    return losses, CrossEntropyResiduals(probabilities, targets)


def softmax_cross_entropy_backward(residuals: CrossEntropyResiduals, d_losses: Array) -> Array:
    """Map d_losses [...] to d_logits [..., V]."""
    probabilities, targets = residuals
    what_happened = np.eye(probabilities.shape[-1], dtype=probabilities.dtype)[targets]  # one-hot, [..., V]
    d_logits: Array = d_losses[..., None] * (probabilities - what_happened)  # (3)
    return d_logits
