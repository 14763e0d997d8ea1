"""Softmax cross-entropy on logits, with its own backward pass; nats and bits.

    forward     loss_n = log(sum over v of exp(y_nv)) - y_n,target         nats, one value a token

    backward    d loss_n / d y_nv = softmax(y_n)_v - [v = target]

In the forward pass the largest logit is taken off first, so that exp never overflows. Backward, softmax minus one-hot
follows from d/dy log-sum-exp(y) = softmax(y): no division by a probability, hence no trouble where one is near zero.

Step by step: docs/maths.md, section 10.
"""

import math

import jax
import jax.numpy as jnp

from jaxrnn.types import Array


@jax.custom_vjp
def softmax_cross_entropy(logits: Array, targets: Array) -> Array:
    """Return the negative log-likelihood of each target under `softmax(logits)`, in nats.

    Reverse mode only: the backward pass is a `custom_vjp`.

    Args:
        logits: `[..., vocabulary]`.
        targets: integers `[...]`, each in `0 .. vocabulary - 1`.

    Returns:
        One loss a target, `[...]`; callers average.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.zeros((2, 4))  # four equally likely tokens: log 4 nats each
        >>> softmax_cross_entropy(logits, jnp.array([0, 3]))
        Array([1.3862944, 1.3862944], dtype=float32)
    """
    losses, _ = _softmax_cross_entropy_fwd(logits, targets)
    return losses


_Residuals = tuple[Array, Array, Array]


def _softmax_cross_entropy_fwd(logits: Array, targets: Array) -> tuple[Array, _Residuals]:
    log_sum = jax.nn.logsumexp(logits, axis=-1)
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1, mode="clip")[..., 0]
    return log_sum - target_logits, (logits, targets, log_sum)


def _softmax_cross_entropy_bwd(residuals: _Residuals, d_losses: Array) -> tuple[Array, None]:
    """dy = dloss * (softmax(y) - one_hot(target))."""
    logits, targets, log_sum = residuals
    probabilities = jnp.exp(logits - log_sum[..., None])
    classes = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    is_target = classes == targets[..., None].astype(jnp.int32)
    return d_losses[..., None] * (probabilities - is_target.astype(logits.dtype)), None


softmax_cross_entropy.defvjp(_softmax_cross_entropy_fwd, _softmax_cross_entropy_bwd)


def nats_to_bits(nats: float) -> float:
    """Nats to bits: divide by log 2.

    >>> round(nats_to_bits(math.log(2)), 6)
    1.0
    """
    return nats / math.log(2)
