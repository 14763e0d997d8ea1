"""Exponential moving average of the parameters (`train.ema_decay`), used for inference as it generalizes better.

Each update moves the average towards the parameters p:

    average <- average + w * (p - average),    w = 1 - min(decay, (1 + n) / (10 + n))

n is the number of updates before. The decay is warmed up, so that the average of a short run covers its last tenth and
not the initial parameters.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Params


class Average(NamedTuple):
    """A running average of the parameters."""

    params: Params
    updates: Array  # int32 scalar, the number of updates averaged


Averaging: TypeAlias = Average | tuple[()]  # () without averaging

# The part of a saved training state that `averaged` returns: the first of these that exists.
AVERAGED_PARTS = ("average.params", "params")


def averaged(params: Params, average: Averaging) -> Params:
    """Return the parameters for evaluation, sampling and fine-tuning: the average, or `params` without averaging.

    Args:
        params: The parameters after the last update, from which training continues.
        average: The average in the same training state.
    """
    return average.params if isinstance(average, Average) else params


def init_average(config: TrainConfig, params: Params) -> Averaging:
    """Return the average before the first update: a copy of the parameters."""
    if config.ema_decay == 0:
        return ()
    return Average(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))


def update_average(config: TrainConfig, average: Averaging, params: Params) -> Averaging:
    """Return the average after one more update; `params` are the new parameters."""
    if not isinstance(average, Average):
        return ()
    seen = average.updates.astype(jnp.float32)
    weight = 1 - jnp.minimum(config.ema_decay, (1 + seen) / (10 + seen))
    moved = jax.tree.map(lambda a, p: a + weight.astype(a.dtype) * (p - a), average.params, params)
    return Average(moved, average.updates + 1)
