"""What each character of a text costs a model, under two protocols that are never mixed.

`stateful`   One pass over the whole text, the state carried from the first character to the last; what `evaluation.py`
             measures while training.
`windows`    The text is cut into windows of W characters, each read from a zero state: window k reads the characters kW
             to kW + W - 1 and is scored on the successor of each. So a character is predicted from at most W before it.
             With W = 256 that is what nanoGPT reports for its models, but over the whole text, not a sample of it.

A third, `dynamic`, in which the weights adapt to the text as they read it, is in `dynamic.py`. All three score each
character but the first exactly once.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import evaluation, model
from jaxrnn.config import ModelConfig
from jaxrnn.losses import softmax_cross_entropy
from jaxrnn.types import Array, Carry, Params

_ROWS = 64  # windows side by side


class Scores(NamedTuple):
    """Of each character of a text but the first."""

    nats: np.ndarray  # [characters - 1], float32: how surprising it was
    ranks: (
        np.ndarray
    )  # [characters - 1], int32: 1 where it was the likeliest, 2 where one other was likelier, ...


def score_stateful(config: ModelConfig, params: Params, ids: np.ndarray) -> Scores:
    """Score a text in one stateful pass.

    It is read as segments side by side that begin 256 characters early, as `evaluation.py` says.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least two.

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    warm_up, inputs, targets, _ = evaluation.segment(ids)
    nats, ranks = _score_segments(config, params, warm_up, inputs, targets)
    scored = ids.size - 1
    length = -(-scored // warm_up.shape[0])

    def flat(chunks: Array) -> np.ndarray:  # [chunks, segments, chunk]
        segments = np.asarray(chunks).swapaxes(0, 1).reshape(warm_up.shape[0], -1)
        return segments[:, :length].reshape(-1)[:scored]

    return Scores(flat(nats), flat(ranks))


def score_windows(config: ModelConfig, params: Params, ids: np.ndarray, window: int) -> Scores:
    """Score a text in windows of `window` characters, each read from a zero state.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least two.
        window: characters a window, 1 or more.

    Raises:
        ValueError: Fewer than two characters, or no window.
    """
    if ids.size < 2 or window < 1:
        raise ValueError(
            f"scoring: no window of {window} in a text of {ids.size} characters has anything to predict"
        )
    scored = ids.size - 1
    window = min(window, scored)
    rows = -(-scored // window)
    positions = np.arange(-(-rows // _ROWS) * _ROWS)[:, None] * window + np.arange(window)
    nats, ranks = [], []
    for start in range(0, rows, _ROWS):
        here = positions[start : start + _ROWS]
        inputs, targets = (np.take(ids, here + k, mode="clip").astype(np.int32) for k in (0, 1))
        found = _score_windows(config, params, inputs, targets)
        nats.append(np.asarray(found[0]).reshape(-1))
        ranks.append(np.asarray(found[1]).reshape(-1))
    return Scores(np.concatenate(nats)[:scored], np.concatenate(ranks)[:scored])


def rank(logits: Array, targets: Array) -> Array:
    """How many characters were likelier than the target, and one: logits `[..., vocabulary]`, targets `[...]`."""
    of_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)
    return 1 + (logits > of_target).sum(-1, dtype=jnp.int32)


@partial(jax.jit, static_argnums=0)
def _score_segments(
    config: ModelConfig, params: Params, warm_up: Array, inputs: Array, targets: Array
) -> tuple[Array, Array]:
    """Nats and ranks `[chunks, segments, chunk]`."""
    carry = evaluation.warmed_up(config, params, warm_up)

    def read(carry: Carry, chunk: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Array]]:
        carry, logits = model.apply(config, params, carry, chunk[0])
        return carry, (softmax_cross_entropy(logits, chunk[1]), rank(logits, chunk[1]))

    _, scores = jax.lax.scan(read, carry, (inputs, targets))
    return scores


@partial(jax.jit, static_argnums=0)
def _score_windows(config: ModelConfig, params: Params, inputs: Array, targets: Array) -> tuple[Array, Array]:
    """Nats and ranks `[rows, window]`."""
    carry = model.initial_carry(config, params, inputs.shape[0])
    _, logits = model.apply(config, params, carry, inputs)
    return softmax_cross_entropy(logits, targets), rank(logits, targets)
