"""Held-out loss: one stateful pass over a text.

A pass over the text as one stream takes a step a character, one after the other. It is read instead as up to 64
segments side by side, each of which first reads the 256 characters before it, unscored, to fill its carry. Every
character but the first is scored once, with a carry that has read at least 256 characters before it (or all there are).
How little that differs from a single stream is tested.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrnn import model
from jaxrnn.config import ModelConfig
from jaxrnn.devices import split_rows
from jaxrnn.losses import softmax_cross_entropy
from jaxrnn.types import Array, Carry, Params

WARM_UP = 256  # characters a segment reads before the first one it is scored on
_MAX_SEGMENTS = 64
_CHUNK = 256  # characters a segment reads at a time: bounds the memory of the logits


Segments = tuple[Array, Array, Array, Array]  # a text laid out by `segment`, kept on the device


def segment(ids: np.ndarray, max_segments: int = _MAX_SEGMENTS, mesh: Mesh | None = None) -> Segments:
    """Lay a text out side by side.

    Args:
        ids: the text `[characters]`, at least two.
        max_segments: 1 reads the text as a single stream.
        mesh: devices to share the segments out to.

    Returns:
        Warm-up inputs `[segments, WARM_UP]`; and in chunks, `[chunks, segments, chunk]` each: inputs, targets and
        weights (1, or 0 where a segment is padded to whole chunks).

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    if ids.size < 2:
        raise ValueError(f"evaluation: a text of {ids.size} characters has nothing to predict")
    scored = ids.size - 1
    segments = max(1, min(max_segments, scored // (2 * WARM_UP)))
    length = -(-scored // segments)
    chunk = min(_CHUNK, length)
    chunks = -(-length // chunk)
    starts = np.arange(segments)[:, None] * length

    def take(positions: np.ndarray) -> np.ndarray:
        return np.take(ids, positions, mode="clip").astype(np.int32)

    offsets = np.arange(chunks * chunk)
    positions = starts + offsets
    weights = (offsets < length) & (positions < scored)

    def in_chunks(values: np.ndarray) -> Array:
        return jnp.asarray(values.reshape(segments, chunks, chunk).swapaxes(0, 1))

    warm_up = jnp.asarray(take(starts - WARM_UP + np.arange(WARM_UP)))
    chunked = (
        in_chunks(take(positions)),
        in_chunks(take(positions + 1)),
        in_chunks(weights.astype(np.float32)),
    )
    if mesh is not None:
        warm_up, chunked = split_rows(mesh, warm_up), split_rows(mesh, chunked, axis=1)
    return warm_up, *chunked


def evaluate(config: ModelConfig, params: Params, segments: Segments) -> float:
    """The mean loss of a text, in nats per character.

    Args:
        config: the layers.
        params: their parameters.
        segments: from `segment`.
    """
    warm_up, inputs, targets, weights = segments
    losses = _chunk_losses(config, params, warm_up, inputs, targets, weights)
    return float(np.asarray(losses, np.float64).sum() / np.asarray(_count(weights), np.float64).sum())


@jax.jit
def _count(weights: Array) -> Array:
    """How many characters of each chunk are scored, `[chunks]`: read whole where devices share the segments."""
    return weights.sum((1, 2))


@partial(jax.jit, static_argnums=0)
def _chunk_losses(
    config: ModelConfig, params: Params, warm_up: Array, inputs: Array, targets: Array, weights: Array
) -> Array:
    """The summed loss of each chunk, `[chunks]`."""
    carry = warmed_up(config, params, warm_up)

    def read(carry: Carry, chunk: tuple[Array, Array, Array]) -> tuple[Carry, Array]:
        xs, ys, ws = chunk
        carry, logits = model.apply(config, params, carry, xs)
        return carry, (softmax_cross_entropy(logits, ys) * ws).sum()

    _, losses = jax.lax.scan(read, carry, (inputs, targets, weights))
    return losses


def warmed_up(config: ModelConfig, params: Params, warm_up: Array) -> Carry:
    """The carry with which each segment begins to be scored."""
    carry = model.initial_carry(config, params, warm_up.shape[0])
    carry, _ = model.apply(config, params, carry, warm_up)
    return jax.tree.map(lambda leaf: leaf.at[0].set(0), carry)  # nothing stands before the first segment
