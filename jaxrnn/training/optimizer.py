"""The optimizer, an optax chain with gradient clipping, and the learning-rate schedule."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Params


def learning_rate(config: TrainConfig, step: Array) -> Array:
    """Return the scheduled learning rate of update `step` (0 is the first), without the factor of `plateau`.

    It rises linearly over `warmup_steps`, then decays to zero just after the last step (`linear`, `cosine`) or stays
    constant (`constant`, `plateau`). The warm-up is at most `steps` long.

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
    """Return the optimizer: clipping by global norm, then AdamW or Muon, with decoupled weight decay on matrices only.

    `adamw` (Loshchilov and Hutter, 2019). beta2 is 0.99, not 0.999, because runs are short and the second moment must
    adapt faster. `muon` (Jordan, 2024): see `_scale_by_muon`.

    The updates are for a learning rate of 1; the caller multiplies them by the learning rate. So the learning rate
    depends on the step alone, not on the number of updates that the optimizer has counted.
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
    """Return Muon for the matrices between the embedding and the output layer, Adam for all other parameters.

    The running mean of a matrix's gradient (beta1) is approximately orthogonalized by five Newton-Schulz steps and
    scaled to the RMS of AdamW's updates (Liu et al., 2025), so that both share one learning rate and weight decay. The
    gates of a recurrent layer are one matrix and are treated as one.
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
    """Return the state before the first evaluation."""
    return Plateau(scale=jnp.ones((), jnp.float32), waited=jnp.zeros((), jnp.int32))


def update_plateau(config: TrainConfig, plateau: Plateau, *, improved: bool) -> Plateau:
    """Update the state after an evaluation: `plateau_patience` without improvement apply `plateau_factor`."""
    if config.schedule != "plateau":
        return plateau
    waited = 0 if improved else int(plateau.waited) + 1
    if waited < config.plateau_patience:
        return plateau._replace(waited=jnp.asarray(waited, jnp.int32))
    return Plateau(scale=plateau.scale * config.plateau_factor, waited=jnp.zeros((), jnp.int32))
