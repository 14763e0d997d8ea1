"""Held-out loss: one stateful pass over a text.

A pass over the text as one stream takes a step a character, one after the other. It is read instead as up to 64
segments side by side, each of which first reads the 256 characters before it, unscored, to fill its carry. Every
character but the first is scored once, with a carry that has read at least 256 characters before it (or all there are).
How little that differs from a single stream is tested.
"""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrnn.config import ModelConfig
from jaxrnn.data.stream import Stream
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.parallel.devices import split_rows
from jaxrnn.types import Array, Carry, Params

WARM_UP = 256  # characters a segment reads before the first one it is scored on
_MAX_SEGMENTS = 64
_CHUNK = 256  # characters a segment reads at a time: bounds the memory of the logits
_ON_DEVICE = (
    1 << 21
)  # characters of a text that is laid out whole: 12 bytes each, and more while that is done
_PIECE = 64  # chunks of one that is not: a million characters at a time

Segments = tuple[Array, Array, Array, Array]  # a text laid out by `segment`, kept on the device


class Pieces(NamedTuple):
    """A text of which no more than a piece is in memory at a time; it is read again in each pass."""

    ids: "np.ndarray | Stream"
    places: "_Places"
    mesh: Mesh | None


LaidOut: TypeAlias = Segments | Pieces


class _Places(NamedTuple):
    """Where in a text the segments are, and in what chunks they are read."""

    starts: np.ndarray  # [segments, 1]
    length: int  # characters of a segment that are scored; of the last one, those that there are
    scored: int  # characters of the text that could be
    chunk: int  # characters read at a time
    chunks: int


def segment(
    ids: "np.ndarray | Stream", max_segments: int = _MAX_SEGMENTS, mesh: Mesh | None = None, limit: int = 0
) -> Segments:
    """Lay a text out side by side.

    Args:
        ids: the text `[characters]`, at least two.
        max_segments: 1 reads the text as a single stream.
        mesh: devices to share the segments out to.
        limit: characters to score of a text that has more, about; segments are then stretches that lie evenly spread
            over it. 0 is all.

    Returns:
        Warm-up inputs `[segments, WARM_UP]`; and in chunks, `[chunks, segments, chunk]` each: inputs, targets and
        weights (1, or 0 where a segment is padded to whole chunks).

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    places = _find_places(ids.size, max_segments, limit)
    return _warm_up(ids, places, mesh), *_read_chunks(ids, places, 0, places.chunks, mesh)


def lay_out(ids: "np.ndarray | Stream", limit: int = 0, mesh: Mesh | None = None) -> LaidOut:
    """Lay a text out for several passes: on the device, or in pieces where it is too long for that.

    Args:
        ids: the text `[characters]`, at least two.
        limit: as for `segment`.
        mesh: likewise.

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    places = _find_places(ids.size, _MAX_SEGMENTS, limit)
    if places.starts.size * places.length > _ON_DEVICE:
        return Pieces(ids, places, mesh)
    return segment(ids, mesh=mesh, limit=limit)


def _find_places(size: int, max_segments: int, limit: int) -> _Places:
    if size < 2:
        raise ValueError(f"evaluation: a text of {size} characters has nothing to predict")
    scored = size - 1
    segments = max(1, min(max_segments, scored // (2 * WARM_UP)))
    stride = -(-scored // segments)
    length = min(stride, -(-limit // segments)) if limit else stride
    chunk = min(_CHUNK, length)
    starts = np.arange(segments, dtype=np.int64)[:, None] * stride
    return _Places(starts, length, scored, chunk, -(-length // chunk))


def _warm_up(ids: "np.ndarray | Stream", places: _Places, mesh: Mesh | None) -> Array:
    inputs = jnp.asarray(_take(ids, places.starts - WARM_UP + np.arange(WARM_UP)))
    return inputs if mesh is None else split_rows(mesh, inputs)


def _read_chunks(
    ids: "np.ndarray | Stream", places: _Places, first: int, count: int, mesh: Mesh | None
) -> tuple[Array, Array, Array]:
    """Inputs, targets and weights of some chunks, `[chunks, segments, chunk]` each; beyond the last one, of padding."""
    offsets = np.arange(first * places.chunk, (first + count) * places.chunk)
    positions = places.starts + offsets
    weights = (offsets < places.length) & (positions < places.scored)

    def in_chunks(values: np.ndarray) -> Array:
        return jnp.asarray(values.reshape(-1, count, places.chunk).swapaxes(0, 1))

    chunked = (
        in_chunks(_take(ids, positions)),
        in_chunks(_take(ids, positions + 1)),
        in_chunks(weights.astype(np.float32)),
    )
    return chunked if mesh is None else split_rows(mesh, chunked, axis=1)


def _take(ids: "np.ndarray | Stream", positions: np.ndarray) -> np.ndarray:
    taken = ids.take(positions) if isinstance(ids, Stream) else np.take(ids, positions, mode="clip")
    return taken.astype(np.int32)


def evaluate(config: ModelConfig, params: Params, segments: LaidOut) -> float:
    """The mean loss of a text, in nats per character.

    Args:
        config: the layers.
        params: their parameters.
        segments: from `segment` or `lay_out`.
    """
    if isinstance(segments, Pieces):
        return _evaluate_pieces(config, params, segments)
    warm_up, *chunked = segments
    losses, _ = _chunk_losses(config, params, _warmed_up(config, params, warm_up), *chunked)
    return _sum(losses) / _sum(_count(chunked[-1]))


def _evaluate_pieces(config: ModelConfig, params: Params, pieces: Pieces) -> float:
    ids, places, mesh = pieces
    carry = _warmed_up(config, params, _warm_up(ids, places, mesh))
    loss = weight = 0.0
    for first in range(0, places.chunks, _PIECE):
        chunked = _read_chunks(ids, places, first, _PIECE, mesh)
        losses, carry = _chunk_losses(config, params, carry, *chunked)
        loss += _sum(losses)
        weight += _sum(_count(chunked[-1]))
    return loss / weight


def _sum(numbers: Array) -> float:
    return float(np.asarray(numbers, np.float64).sum())


@jax.jit
def _count(weights: Array) -> Array:
    """How many characters of each chunk are scored, `[chunks]`: read whole where devices share the segments."""
    return weights.sum((1, 2))


@partial(jax.jit, static_argnums=0)
def _chunk_losses(
    config: ModelConfig, params: Params, carry: Carry, inputs: Array, targets: Array, weights: Array
) -> tuple[Array, Carry]:
    """The summed loss of each chunk, `[chunks]`, and the carry after the last."""

    def read(carry: Carry, chunk: tuple[Array, Array, Array]) -> tuple[Carry, Array]:
        xs, ys, ws = chunk
        carry, logits = stack.apply(config, params, carry, xs)
        return carry, (softmax_cross_entropy(logits, ys) * ws).sum()

    carry, losses = jax.lax.scan(read, carry, (inputs, targets, weights))
    return losses, carry


@partial(jax.jit, static_argnums=0)
def _warmed_up(config: ModelConfig, params: Params, warm_up: Array) -> Carry:
    return warmed_up(config, params, warm_up)


def warmed_up(config: ModelConfig, params: Params, warm_up: Array) -> Carry:
    """The carry with which each segment begins to be scored."""
    carry = stack.initial_carry(config, params, warm_up.shape[0])
    carry, _ = stack.apply(config, params, carry, warm_up)
    return jax.tree.map(lambda leaf: leaf.at[0].set(0), carry)  # nothing stands before the first segment
