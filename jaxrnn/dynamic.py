"""Dynamic evaluation: the weights adapt to a text as they read it (Krause, Kahembwe, Murray and Renals, 2018).

The text is read once, statefully, in short segments. Each is scored first, with the weights as they are by then; then
they take a step down its gradient g, and a step back towards where they began:

    theta <- theta - eta * g / (RMS + eps) + lambda * D * (theta_0 - theta)

RMS is the root of the mean square of the gradients of such segments of the training text, and D = RMS / mean(RMS), but
never so large that lambda * D is above 1. Both eta and lambda are chosen on the end of the training text, never on the
text that is scored. A score under this protocol compares with no other: the model has learned from the text that it is
scored on, though from no character before that was scored.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import model
from jaxrnn.config import ModelConfig
from jaxrnn.losses import softmax_cross_entropy
from jaxrnn.scoring import Scores, rank
from jaxrnn.types import Array, Carry, Params

SEGMENT = 5  # characters from one step to the next
_EPSILON = 1e-6
_STATISTICS = 20_000  # characters of the training text that RMS is taken from
_TUNING = 20_000  # characters at its end on which the rates are chosen
_GRID = tuple((rate, decay) for rate in (1e-5, 3e-5, 1e-4, 3e-4) for decay in (1e-3, 1e-2))


class Rates(NamedTuple):
    """How fast the weights adapt."""

    rate: float  # eta
    decay: float  # lambda


def root_mean_square(config: ModelConfig, params: Params, ids: np.ndarray) -> Params:
    """RMS, from the gradients of segments of a text `[characters]`: a tree like the parameters."""
    segments = _segments(ids[: _STATISTICS + 1])
    return _root_mean_square(config, params, *segments)


def tune(config: ModelConfig, params: Params, train_ids: np.ndarray) -> tuple[Rates, Params]:
    """Choose the rates on the end of the training text; RMS comes from what stands before it.

    Args:
        config: the layers.
        params: their parameters.
        train_ids: the training text `[characters]`.

    Returns:
        The rates of the least loss among a few, and RMS.
    """
    tuning = min(_TUNING, train_ids.size // 2)
    rms = root_mean_square(config, params, train_ids[-tuning - _STATISTICS - 1 : -tuning])
    losses = [
        score_dynamic(config, params, rms, train_ids[-tuning:], Rates(*rates)).nats.mean() for rates in _GRID
    ]
    return Rates(*_GRID[int(np.argmin(losses))]), rms


def score_dynamic(config: ModelConfig, params: Params, rms: Params, ids: np.ndarray, rates: Rates) -> Scores:
    """Score a text with weights that adapt to it.

    Args:
        config: the layers.
        params: theta_0.
        rms: from `root_mean_square`.
        ids: the text `[characters]`, at least two.
        rates: eta and lambda.

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    if ids.size < 2:
        raise ValueError(f"scoring: a text of {ids.size} characters has nothing to predict")
    scored = ids.size - 1
    eta, decay = jnp.float32(rates.rate), jnp.float32(rates.decay)
    nats, ranks = _score(config, params, rms, eta, decay, *_segments(ids))
    return Scores(np.asarray(nats).reshape(-1)[:scored], np.asarray(ranks).reshape(-1)[:scored])


def _segments(ids: np.ndarray) -> tuple[Array, Array, Array]:
    """Inputs, targets and weights (0 for what pads the last one), `[segments, 1, SEGMENT]` each."""
    scored = ids.size - 1
    positions = np.arange(-(-scored // SEGMENT) * SEGMENT).reshape(-1, 1, SEGMENT)
    inputs, targets = (jnp.asarray(np.take(ids, positions + k, mode="clip").astype(np.int32)) for k in (0, 1))
    return inputs, targets, jnp.asarray((positions < scored).astype(np.float32))


def _loss(
    config: ModelConfig, params: Params, carry: Carry, segment: tuple[Array, Array, Array]
) -> tuple[Array, tuple[Carry, Array, Array]]:
    """The mean loss of a segment; and the carry after it, the loss and the rank of each character."""
    inputs, targets, weights = segment
    carry, logits = model.apply(config, params, carry, inputs)
    nats = softmax_cross_entropy(logits, targets)
    return (nats * weights).sum() / weights.sum(), (carry, nats, rank(logits, targets))


@partial(jax.jit, static_argnums=0)
def _root_mean_square(
    config: ModelConfig, params: Params, inputs: Array, targets: Array, weights: Array
) -> Params:
    def read(
        state: tuple[Carry, Params], segment: tuple[Array, Array, Array]
    ) -> tuple[tuple[Carry, Params], None]:
        carry, squares = state
        gradient, (carry, _, _) = jax.grad(_loss, argnums=1, has_aux=True)(config, params, carry, segment)
        return (carry, jax.tree.map(lambda square, g: square + g * g, squares, gradient)), None

    begin = model.initial_carry(config, params, 1), jax.tree.map(jnp.zeros_like, params)
    (_, squares), _ = jax.lax.scan(read, begin, (inputs, targets, weights))
    return jax.tree.map(lambda square: jnp.sqrt(square / inputs.shape[0]), squares)


@partial(jax.jit, static_argnums=0)
def _score(
    config: ModelConfig,
    params: Params,
    rms: Params,
    rate: Array,
    decay: Array,
    inputs: Array,
    targets: Array,
    weights: Array,
) -> tuple[Array, Array]:
    """Nats and ranks `[segments, 1, SEGMENT]`."""
    leaves = jax.tree.leaves(rms)
    mean = sum((leaf.sum() for leaf in leaves), jnp.float32(0)) / sum(leaf.size for leaf in leaves)
    pull = jax.tree.map(lambda leaf: jnp.minimum(decay * leaf / mean, 1), rms)  # lambda * D
    pace = jax.tree.map(lambda leaf: rate / (leaf + _EPSILON), rms)

    def read(
        state: tuple[Carry, Params], segment: tuple[Array, Array, Array]
    ) -> tuple[tuple[Carry, Params], tuple[Array, Array]]:
        carry, theta = state
        gradient, (carry, nats, ranks) = jax.grad(_loss, argnums=1, has_aux=True)(
            config, theta, carry, segment
        )
        theta = jax.tree.map(
            lambda now, g, first, fast, back: now - fast * g + back * (first - now),
            theta,
            gradient,
            params,
            pace,
            pull,
        )
        return (carry, theta), (nats, ranks)

    begin = model.initial_carry(config, params, 1), params
    _, scores = jax.lax.scan(read, begin, (inputs, targets, weights))
    return scores
