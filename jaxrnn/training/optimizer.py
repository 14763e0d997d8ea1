"""From the config to an optax chain (clipping, an optimizer) and to the learning rate its updates are taken with."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

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
    """Clip by the global norm, then the config's optimizer, with decoupled weight decay on matrices only.

    `adamw` (Loshchilov and Hutter, 2019). beta2 is 0.99 rather than 0.999: runs are short, and the second moment should
    follow. `muon` (Jordan, 2024): see `_scale_by_muon`.

    Their updates are for a learning rate of 1 and wait to be multiplied by the step's: the rate hangs on the step
    alone, whatever number of updates the optimizer has counted.
    """
    scale = _scale_by_muon if config.optimizer == "muon" else optax.scale_by_adam
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm) if config.max_grad_norm > 0 else optax.identity(),
        scale(config.beta1, config.beta2),
        optax.add_decayed_weights(config.weight_decay, mask=_matrices),
        optax.scale(-1.0),
    )


def _matrices(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def _scale_by_muon(beta1: float, beta2: float) -> optax.GradientTransformation:
    """Muon for the matrices between embedding and head, Adam for all else.

    The running mean of a matrix's gradient (beta1) is brought near an orthogonal matrix by five Newton-Schulz steps,
    and scaled to the size of AdamW's updates (Liu et al., 2025), so that one learning rate and one weight decay do for
    both. The gates of a recurrent layer, one matrix, are treated as one.
    """
    as_matrices = partial(jax.tree.map, lambda _: contrib.MuonDimensionNumbers())  # of masked trees as well
    muon = optax.chain(
        contrib.scale_by_muon(beta=beta1, weight_dimension_numbers=as_matrices),
        optax.stateless_with_tree_map(lambda leaf, _: leaf * (_MUON_RMS * max(leaf.shape) ** 0.5)),
    )
    adam = optax.scale_by_adam(b1=beta1, b2=beta2)
    return optax.partition({"muon": muon, "adam": adam}, _label_for_muon)


def _label_for_muon(params: Params) -> Params:
    ends = (0, len(params) - 1)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: "muon" if leaf.ndim == 2 and path[0].idx not in ends else "adam", params
    )


_MUON_RMS = 0.2  # the root mean square of AdamW's updates, as measured by Liu et al.


class Plateau(NamedTuple):
    """The state of the `plateau` schedule; other schedules do not change it."""

    scale: Array  # float32 scalar: the factor on the learning rate
    waited: Array  # int32 scalar: evaluations since the best one, or since the last decay


def init_plateau() -> Plateau:
    """No decay yet, nothing waited for."""
    return Plateau(scale=jnp.ones((), jnp.float32), waited=jnp.zeros((), jnp.int32))


def update_plateau(config: TrainConfig, plateau: Plateau, *, improved: bool) -> Plateau:
    """After an evaluation: `patience` of them without a new best multiply the rate by `plateau_factor`."""
    if config.schedule != "plateau":
        return plateau
    waited = 0 if improved else int(plateau.waited) + 1
    if waited < config.plateau_patience:
        return plateau._replace(waited=jnp.asarray(waited, jnp.int32))
    return Plateau(scale=plateau.scale * config.plateau_factor, waited=jnp.zeros((), jnp.int32))
