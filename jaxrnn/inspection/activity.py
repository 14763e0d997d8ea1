"""What a model does as it reads a text: states and gates of each recurrent layer, and what it expects at each place."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.evaluation.scoring import rank
from jaxrnn.layers.block import RNNBlockParams
from jaxrnn.layers.gru import GRUParams, gru_loop, gru_project
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.lstm import LSTMParams, lstm_loop, lstm_project
from jaxrnn.layers.mogrifier import MogrifierLSTMParams, mogrifier_loop
from jaxrnn.layers.rnn import RNNParams, rnn
from jaxrnn.models import stack
from jaxrnn.types import Array, Params

# What is tanh of something lies between -1 and 1, a gate between 0 and 1, a cell anywhere.
STATES = ("h", "c")
GATES = {"i": "input gate", "f": "forget gate", "o": "output gate", "r": "reset gate", "z": "update gate"}
NAMES = {"h": "hidden state", "c": "cell", **GATES, "g": "candidate", "n": "candidate"}


class Track(NamedTuple):
    """One kind of activity of one layer."""

    layer: int  # its place in the config's list, from 0
    kind: str  # a key of NAMES
    values: np.ndarray  # [characters, units], float32


class Activity(NamedTuple):
    """What a model did at each character of a text, after having read it."""

    nll: np.ndarray  # [characters - 1], float32: the surprise of each but the first
    ranks: np.ndarray  # [characters - 1], int32: 1 where it was the likeliest
    likeliest: np.ndarray  # [characters, k], int32: the ids that were likeliest to come next
    probabilities: np.ndarray  # [characters, k], float32: theirs
    tracks: tuple[Track, ...]


def observe(config: ModelConfig, params: Params, ids: np.ndarray, most_likely: int = 5) -> Activity:
    """Read a text from a zero state and note what every unit does.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least one.
        most_likely: how many likely next characters to keep at each place.
    """
    vocabulary_size = params[0].table.shape[0]
    k = min(most_likely, vocabulary_size)
    expected, activity = _observe(config, k, params, jnp.asarray(ids, jnp.int32))
    tracks = (
        Track(layer, kind, np.asarray(values, np.float32))
        for layer, kinds in activity.items()
        for kind, values in kinds.items()
    )
    nats, ranks, likeliest, probabilities = (np.asarray(values) for values in expected)
    return Activity(nats, ranks, likeliest, probabilities, tuple(tracks))


@partial(jax.jit, static_argnums=(0, 1))
def _observe(
    config: ModelConfig, k: int, params: Params, ids: Array
) -> tuple[tuple[Array, ...], dict[int, dict[str, Array]]]:
    """One pass: nats, ranks, likeliest ids and their probabilities; and by layer and kind `[time, units]`."""
    carry = stack.initial_carry(config, params, 1)
    inputs, logits = stack.layer_inputs(config, params, carry, ids[None])
    logits = logits[0].astype(jnp.float32)
    nats = softmax_cross_entropy(logits[:-1], ids[1:])
    probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(logits), k)
    resets = stack.find_resets(config, ids[:, None])
    activity = {
        index: {kind: values[:, 0] for kind, values in kinds.items()}
        for index in range(len(config.layers))
        if (kinds := layer_activity(params[index], carry[index], inputs[index], resets))
    }
    return (nats, rank(logits[:-1], ids[1:]), likeliest, probabilities), activity


def layer_activity(params: Params, carry: Any, xs: Array, resets: Array | None) -> dict[str, Array]:
    """States and gates of a recurrent layer at each step, by kind; of another layer, nothing.

    Args:
        params: the layer's parameters.
        carry: its carry before the first step.
        xs: what it reads, `[time, batch, input]`.
        resets: where its state is emptied, bool `[time, batch]`, or None.

    Returns:
        Arrays `[time, batch, hidden]`: h; of an LSTM also c, i, f, g and o; of a GRU also r, z and n.
    """
    match params:
        case RNNBlockParams():
            return layer_activity(params.cell, carry, xs, resets)
        case RNNParams():
            return {"h": rnn(params, carry, xs, resets=resets)[1]}
        case GRUParams():
            zs = gru_project(params, xs)
            _, (hs, gates, _) = gru_loop(params.w_h, params.b_n, zs, carry, resets)
            return {"h": hs, **_side_by_side("rzn", gates)}
        case LSTMParams():
            zs = lstm_project(params, xs)
            _, (hs, gates, c_prev, _) = lstm_loop(params.w_h, zs, carry, None, resets)
        case MogrifierLSTMParams():
            _, (hs, gates, c_prev, *_) = mogrifier_loop(params, carry, xs, None, resets)
        case _:
            return {}
    by_kind = _side_by_side("ifgo", gates)
    cs = by_kind["f"] * c_prev + by_kind["i"] * by_kind["g"]
    return {"h": hs, "c": cs, **by_kind}


def _side_by_side(kinds: str, gates: Array) -> dict[str, Array]:
    return dict(zip(kinds, jnp.split(gates, len(kinds), axis=-1), strict=True))


def saturation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each unit of a gate is nearly shut and nearly open (Karpathy et al., 2015).

    Args:
        values: `[characters, units]`, between 0 and 1.

    Returns:
        The share of characters at which it is under 0.1, `[units]`, and at which it is over 0.9.
    """
    return (values < 0.1).mean(axis=0), (values > 0.9).mean(axis=0)
