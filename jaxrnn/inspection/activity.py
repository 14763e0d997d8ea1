"""Activations of a model on a text: states and gates of each recurrent layer, and the prediction at each position."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import LayerConfig, ModelConfig, ResidualConfig
from jaxrnn.data.vocabulary import Text, encode
from jaxrnn.evaluation.scoring import rank
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets, reset_state
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.models.registry import LAYERS, apply_layer, apply_layers
from jaxrnn.types import Array, Carry, Params

# Ranges: tanh outputs are in [-1, 1], gates in [0, 1], cell states unbounded.
STATES = ("h", "c")
GATES = {
    "i": "input gate",
    "f": "forget gate",
    "o": "output gate",
    "r": "reset gate",
    "z": "update gate",
    "a": "decay",
}
NAMES = {"h": "hidden state", "c": "cell", **GATES, "g": "candidate", "n": "candidate"}


class Track(NamedTuple):
    """One kind of activity of one layer."""

    layer: int  # its place in the config's list, from 0
    kind: str  # a key of NAMES
    values: np.ndarray  # [characters, units], float32


class Activity(NamedTuple):
    """The activations of a model after each token of a text."""

    nll: np.ndarray  # [characters - 1], float32, nats: the surprisal of each but the first
    ranks: np.ndarray  # [characters - 1], int32: 1 where it was the likeliest
    likeliest: np.ndarray  # [characters, k], int32: the ids that were likeliest to come next
    probabilities: np.ndarray  # [characters, k], float32: theirs
    tracks: tuple[Track, ...]


def observe(
    config: ModelConfig,
    params: Params,
    ids: np.ndarray,
    most_likely: int = 5,
    separator_id: int | None = None,
) -> Activity:
    """Read a text from a zero state and note what every unit does.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least one.
        most_likely: how many likely next characters to keep at each place.
        separator_id: the token before which the state is reset (`Vocabulary.separator_id`), or None.
    """
    vocabulary_size = params[0].table.shape[0]
    k = min(most_likely, vocabulary_size)
    expected, activity = _observe(config, k, separator_id, params, jnp.asarray(ids, jnp.int32))
    tracks = (
        Track(layer, kind, np.asarray(values, np.float32))
        for layer, kinds in activity.items()
        for kind, values in kinds.items()
    )
    nats, ranks, likeliest, probabilities = (np.asarray(values) for values in expected)
    return Activity(nats, ranks, likeliest, probabilities, tuple(tracks))


def activations(model: LanguageModel, text: Text) -> tuple[dict[str, np.ndarray], ...]:
    """Read a text from a zero state and return what every unit of every layer does.

    Args:
        model: from `jaxrnn.load`, or `Run.model()`.
        text: at least one token, all of them in the model's vocabulary; `bytes` for a model of bytes.

    Returns:
        One dict a layer, in the order of the config: arrays `[time, units]` by name. `h` is the hidden state; an LSTM
        also has `c`, its cell state, and its gates `i`, `f`, `g`, `o`; a GRU has `r`, `z`, `n`. A layer without a state
        has none. A minGRU has `z`, a minLSTM `i`, `f`; an RG-LRU has `i` and its decay `a`.

    Raises:
        VocabularyError: The model does not know a character of the text.
        ValueError: The text is empty.

    Example:
        >>> by_layer = activations(getfixture("language_model"), "to be")
        >>> [sorted(layer) for layer in by_layer]
        [[], ['c', 'f', 'g', 'h', 'i', 'o'], []]
        >>> by_layer[1]["f"].shape
        (5, 8)
    """
    if not text:
        raise ValueError("activations: the text is empty; one token at least is needed")
    by_layer: tuple[dict[str, np.ndarray], ...] = tuple({} for _ in model.config.layers)
    ids, separator_id = encode(model.vocabulary, text), model.vocabulary.separator_id
    for track in observe(model.config, model.params, ids, separator_id=separator_id).tracks:
        by_layer[track.layer][track.kind] = track.values
    return by_layer


@partial(jax.jit, static_argnums=(0, 1, 2))
def _observe(
    config: ModelConfig, k: int, separator_id: int | None, params: Params, ids: Array
) -> tuple[tuple[Array, ...], dict[int, dict[str, Array]]]:
    """Return nats, ranks, likeliest ids and their probabilities of one pass; and by layer and kind `[time, units]`."""
    carry, resets = stack.initial_carry(config, params, 1), find_resets(ids[None], separator_id)
    inputs = stack.layer_inputs(config, params, carry, ids[None], resets)

    def expect(here: tuple[Array, Array]) -> tuple[Array, ...]:
        x, target = here
        _, logits = apply_layer(config.layers[-1], params[-1], carry[-1], x[None])
        logits = logits[0, 0].astype(jnp.float32)
        probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(logits), k)
        return softmax_cross_entropy(logits, target), rank(logits, target), likeliest, probabilities

    at_once = stack.MOST_LOGITS // params[0].table.shape[0]
    nats, ranks, *likeliest = jax.lax.map(expect, (inputs[-1], jnp.roll(ids, -1)), batch_size=at_once)
    resets = find_resets(ids[:, None], separator_id)  # time first, as the layers
    activity = {
        index: {kind: values[:, 0] for kind, values in kinds.items()}
        for index, layer in enumerate(config.layers)
        if (kinds := layer_activity(layer, params[index], carry[index], inputs[index], resets))
    }
    return (nats[:-1], ranks[:-1], *likeliest), activity


def layer_activity(
    config: LayerConfig, params: Params, carry: Carry, xs: Array, resets: Array | None
) -> dict[str, Array]:
    """Return the states and gates of a recurrent layer at each step, by kind; of another layer, nothing.

    Args:
        config: the layer's entry of the config's list.
        params: its parameters.
        carry: its carry before the first step.
        xs: what it reads, `[time, batch, input]`.
        resets: where its state is reset, bool `[time, batch]`, or None.

    Returns:
        Arrays `[time, batch, hidden]`: h, and c if it has one, after each step, and its gates; of a residual layer,
        those of the last recurrent layer inside.
    """
    if isinstance(config, ResidualConfig):
        inputs: list[Array] = []
        apply_layers(config.layers, params, carry, xs, resets=resets, inputs=inputs)
        layers = zip(config.layers, params, carry, inputs, strict=True)
        inside = [layer_activity(*layer, resets) for layer in layers]
        return next((kinds for kinds in reversed(inside) if "h" in kinds), {})
    if not carry:
        return {}

    def step(carry: Carry, here: tuple[Array, Array | None]) -> tuple[Carry, tuple[Carry, Carry]]:
        x, reset = here
        before = reset_state(carry, reset)
        after, _ = apply_layer(config, params, before, x[None])
        return after, (before, after)

    _, (before, after) = jax.lax.scan(step, carry, (xs, resets))
    gates = LAYERS[config.type].gates(config=config, params=params, carry=before, xs=xs)
    states = {field: state for field, state in after._asdict().items() if field in STATES}
    return states | gates


def saturation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each unit of a gate is nearly shut and nearly open (Karpathy et al., 2015).

    Args:
        values: `[characters, units]`, between 0 and 1.

    Returns:
        The share of characters at which it is under 0.1, `[units]`, and at which it is over 0.9.
    """
    return (values < 0.1).mean(axis=0), (values > 0.9).mean(axis=0)
