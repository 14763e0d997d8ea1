"""Running averages of the parameters along a training, to be used in their place: they generalise better.

Exponential (`train.ema_decay`). Each update moves the average a little towards the parameters p:

    average <- average + w * (p - average),    w = 1 - min(decay, (1 + n) / (10 + n))

n is the number of updates before. The decay is warmed up so that the average of a young training is of its last tenth
and not of what it began with.

Two-tailed (`train.two_tailed`; Melis, "Two-Tailed Averaging", 2022). When to begin to average is found out on the
way: a short and a long average are plain means of the parameters since each began. At an evaluation where the short one
is no worse, it becomes the long one, and another short one begins. The long one is what is used.

    both        average <- average + (p - average) / (n + 1)
    evaluated   loss(short) <= loss(long):   long <- short,   short <- nothing yet
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Params


class Average(NamedTuple):
    """A running average of the parameters."""

    params: Params
    updates: Array  # int32 scalar, how many it has seen


class TwoTailed(NamedTuple):
    """Two running averages; the short one began later."""

    long: Average
    short: Average


Averaging: TypeAlias = Average | TwoTailed | tuple[()]  # () where nothing is averaged

# Where a saved training state holds what `averaged` returns: the first of these parts that it has.
AVERAGED_PARTS = ("average.long.params", "average.params", "params")


def averaged(params: Params, average: Averaging) -> Params:
    """The parameters to evaluate, to sample from and to fine-tune: the average, or where there is none, themselves.

    Args:
        params: as the last update left them; only training goes on from these.
        average: of the same training state.
    """
    match average:
        case TwoTailed():
            return average.long.params
        case Average():
            return average.params
    return params


def init_average(config: TrainConfig, params: Params) -> Averaging:
    """The average before the first update: the parameters themselves, in memory of its own."""
    if config.two_tailed:
        return TwoTailed(long=_begin(params), short=_begin(params))
    return _begin(params) if config.ema_decay > 0 else ()


def _begin(params: Params) -> Average:
    return Average(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))


def update_average(config: TrainConfig, average: Averaging, params: Params) -> Averaging:
    """The average after one more update, which led to `params`."""
    match average:
        case TwoTailed(long, short):
            return TwoTailed(
                _move(long, _mean_weight(long), params), _move(short, _mean_weight(short), params)
            )
        case Average():
            seen = average.updates.astype(jnp.float32)
            decay = jnp.minimum(config.ema_decay, (1 + seen) / (10 + seen))
            return _move(average, 1 - decay, params)
    return ()


def _mean_weight(average: Average) -> Array:
    return 1 / (average.updates.astype(jnp.float32) + 1)


def _move(average: Average, weight: Array, params: Params) -> Average:
    moved = jax.tree.map(lambda a, p: a + weight.astype(a.dtype) * (p - a), average.params, params)
    return Average(moved, average.updates + 1)


def switch_tails(average: TwoTailed, long_loss: float, short_loss: float) -> tuple[TwoTailed, float]:
    """After an evaluation of both: the short average becomes the long one if it is no worse.

    Args:
        average: both, each with its held-out loss in nats per character.
        long_loss: of the long one.
        short_loss: of the short one.

    Returns:
        The averages to go on with, and the loss of the long one of these.
    """
    if int(average.short.updates) == 0 or not short_loss <= long_loss:
        return average, long_loss
    # The two trade places: the arrays of the new short one are overwritten by its first update, whose weight is 1.
    return TwoTailed(average.short, average.long._replace(updates=jnp.zeros((), jnp.int32))), short_loss
