"""Ablation: how much worse a model predicts without one of its units.

The output of one unit, h_u, is held at its mean over the text wherever it is read: by the layers above, and by the
layer itself at the next character. The cost of the unit is how much the mean negative log-likelihood of the text rises.

Held at zero, a unit that is always near 1 would seem important for its mean alone, which biases can replace.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import (
    DenseConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    MLSTMConfig,
    ModelConfig,
    ResidualConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.inspection.activity import Track
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets, reset_state
from jaxrnn.models import stack
from jaxrnn.models.registry import apply_layer, apply_layers
from jaxrnn.types import Array, Carry, Params

_MOST_WORK = 1e12  # multiplications: about 30 s on 2 CPU cores
_STATE_WORK = 50  # how many parameters take as long as a number of the state, which each row reads and writes
_AT_ONCE = 256  # units whose states are in memory together; of an mLSTM of 2,048 units each has 4 MB
_CELLS = {"rnn": RNNConfig, "lstm": LSTMConfig, "gru": GRUConfig}  # of an rnn_block


class Ablation(NamedTuple):
    """The costs of the units of a layer."""

    layer: int  # its place in the config's list, from 0
    costs: np.ndarray  # [units], float32, nats per token: how much higher the loss is without the unit
    characters: int  # of the text that were read


def ablate(
    config: ModelConfig,
    params: Params,
    ids: np.ndarray,
    tracks: Iterable[Track],
    separator_id: int | None = None,
) -> list[Ablation]:
    """Return the cost of every unit of every recurrent layer; in a residual layer, of the last one inside.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`.
        tracks: from `observe`, on the same text: the means at which units are held.
        separator_id: the token before which the state is reset (`Vocabulary.separator_id`), or None.

    Returns:
        One entry a layer. Of a long text only the first characters are read, so that a large model takes 30 s too; of
        a text of one character, which has no prediction, none.
    """
    means = {track.layer: track.values.mean(axis=0) for track in tracks if track.kind == "h"}
    state = stack.count_parameters(jax.eval_shape(partial(stack.initial_carry, config, batch_size=1), params))
    a_character = (stack.count_parameters(params) + _STATE_WORK * state) * sum(map(len, means.values()))
    read = ids[: max(2, int(_MOST_WORK / max(a_character, 1)))].astype(np.int32)
    if read.size < 2:
        return []
    found = []
    for index, mean in means.items():
        at_once = min(_AT_ONCE, mean.size)
        parts = [
            _of_units(config, index, separator_id, params, mean, first + np.arange(at_once), read)
            for first in range(0, mean.size, at_once)
        ]
        found.append(Ablation(index, np.concatenate(parts)[: mean.size], read.size))
    return found


@partial(jax.jit, static_argnums=(0, 1, 2))
def _of_units(
    config: ModelConfig,
    index: int,
    separator_id: int | None,
    params: Params,
    means: Array,
    units: Array,
    ids: Array,
) -> Array:
    """Return the costs of some units of a layer: each row of a batch reads the text without one, the last with all."""
    rows = units.size + 1
    is_held = jnp.append(units, -1)[:, None] == jnp.arange(means.size)
    resets = find_resets(ids[:, None], separator_id)  # time first, as the layers
    below = stack.initial_carry(config, params, 1)
    xs = stack.layer_inputs(config, params, below, ids[None], None if resets is None else resets.T)[index]

    def read(carry: Carry, here: tuple[Array, Array | None, Array]) -> tuple[Carry, Array]:
        x, reset, target = here
        first, *others = reset_state(carry, reset)
        x = jnp.broadcast_to(x, (rows, *x.shape[1:]))
        first, y = _without(config.layers[index], params[index], first, x, is_held, means)
        others, logits = apply_layers(config.layers[index + 1 :], params[index + 1 :], tuple(others), y[None])
        return (first, *others), softmax_cross_entropy(
            logits[0].astype(jnp.float32), jnp.broadcast_to(target, rows)
        )

    carry = stack.initial_carry(config, params, rows)[index:]
    _, nll = jax.lax.scan(read, carry, (xs[:-1], None if resets is None else resets[:-1], ids[1:]))
    costs: Array = (nll[:, :-1] - nll[:, -1:]).mean(axis=0)
    return costs


def _without(
    config: LayerConfig, params: Params, carry: Carry, x: Array, is_held: Array, means: Array
) -> tuple[Carry, Array]:
    """Run one step `[rows, ...]` of a layer with the units of `is_held` `[rows, units]` held at their means."""
    if isinstance(config, ResidualConfig):
        carry, y = _without_inside(config.layers, params, carry, x, is_held, means)
        return carry, x + y
    if isinstance(config, RNNBlockConfig):
        inside = _CELLS[config.cell](size=means.size), DenseConfig(size=means.size)
        (carry, _), y = _without_inside(inside, tuple(params), (carry, ()), x, is_held, means)
        return carry, x + y
    if hasattr(carry, "h"):
        carry = carry._replace(h=jnp.where(is_held, means, carry.h))
    carry, ys = apply_layer(config, params, carry, x[None])
    return carry, jnp.where(is_held, means, ys[0])


def _without_inside(
    layers: Sequence[LayerConfig], params: Params, carry: Carry, x: Array, is_held: Array, means: Array
) -> tuple[Carry, Array]:
    """Run one step of several layers; the units are those of the last recurrent one."""
    last = max(place for place, layer in enumerate(layers) if _is_recurrent(layer, carry[place]))
    carries = []
    for place, layer in enumerate(layers):
        if place == last:
            after, x = _without(layer, params[place], carry[place], x, is_held, means)
        else:
            after, ys = apply_layer(layer, params[place], carry[place], x[None])
            x = ys[0]
        carries.append(after)
    return tuple(carries), x


def _is_recurrent(layer: LayerConfig, carry: Carry) -> bool:
    """Return whether a layer has units with an output h."""
    if isinstance(layer, ResidualConfig):
        return any(map(_is_recurrent, layer.layers, carry))
    return hasattr(carry, "h") or isinstance(layer, MLSTMConfig)
