"""From the config to an optax chain (clipping, AdamW) and to the learning rate that its updates are taken with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Params


def learning_rate(config: TrainConfig, step: Array) -> Array:
    """The rate of update `step` (0 is the first), before what `plateau` makes of it.

    It rises linearly over `warmup_steps`, then falls to zero just after the last step (`linear`, `cosine`) or stays
    (`constant`, `plateau`). A warm-up longer than the training lasts as long as the training.

    Returns:
        A float32 scalar.
    """
    step = jnp.asarray(step, jnp.float32)
    steps = float(config.steps)
    warmup = float(min(config.warmup_steps, config.steps))
    rise = jnp.minimum(1.0, (step + 1) / max(1.0, warmup))
    progress = jnp.clip((step - warmup) / max(1.0, steps - warmup), 0.0, 1.0)
    if config.schedule == "linear":
        fall = 1 - progress
    elif config.schedule == "cosine":
        fall = 0.5 * (1 + jnp.cos(jnp.pi * progress))
    else:
        fall = jnp.ones_like(progress)
    return config.learning_rate * rise * fall


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clip by the global norm, then AdamW (Loshchilov and Hutter, 2019) with weight decay on matrices only.

    Its updates are for a learning rate of 1 and wait to be multiplied by the step's: the rate hangs on the step alone,
    whatever number of updates the optimizer has counted.

    beta2 is 0.99 rather than 0.999: runs are short, and the second moment should follow.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm > 0 else optax.identity(),
        optax.scale_by_adam(b1=0.9, b2=0.99),
        optax.add_decayed_weights(config.weight_decay, mask=_matrices),
        optax.scale(-1.0),
    )


def _matrices(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


class Plateau(NamedTuple):
    """What the `plateau` schedule remembers from evaluation to evaluation; the other schedules leave it alone."""

    scale: Array  # float32 scalar: the factor on the learning rate
    waited: Array  # int32 scalar: evaluations since the best one, or since the last decay


def init_plateau() -> Plateau:
    """No decay yet, nothing waited for."""
    return Plateau(scale=jnp.ones((), jnp.float32), waited=jnp.zeros((), jnp.int32))


def update_plateau(config: TrainConfig, plateau: Plateau, *, improved: bool) -> Plateau:
    """After an evaluation: `patience` of them without a new best multiply the rate by `decay_factor`."""
    if config.schedule != "plateau":
        return plateau
    waited = 0 if improved else int(plateau.waited) + 1
    if waited < config.patience:
        return plateau._replace(waited=jnp.asarray(waited, jnp.int32))
    return Plateau(scale=plateau.scale * config.decay_factor, waited=jnp.zeros((), jnp.int32))
