"""Validation loss: one stateful pass over a corpus.

A pass over the corpus as one stream takes one step a token, one after the other. It is read instead as up to 64
segments side by side, each of which first reads the 256 tokens before it, unscored, to fill its carry. Every token but
the first is scored once, with a carry that has read at least 256 tokens before it (or all there are). How little that
differs from a single stream is tested.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxrnn.config import ModelConfig
from jaxrnn.data.tokens import TokenSource
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.parallel.devices import split_rows
from jaxrnn.types import Array, Carry, Params

WARM_UP = 256  # tokens a segment reads before the first one it is scored on
_MAX_SEGMENTS = 64
_CHUNK = 256  # tokens a segment reads at a time, and fewer where the vocabulary is large
_ON_DEVICE = 1 << 21  # tokens kept on the device between passes: 12 bytes each, more while they are read
_PIECE = 64  # chunks that are on the device at a time where there are more tokens: a million


class Segments(NamedTuple):
    """A corpus laid out for passes over it."""

    warm_up: Array  # [segments, WARM_UP], inputs that are not scored
    pieces: Callable[[], Iterable[tuple[Array, Array, Array]]]
    """The rest, in pieces of `[chunks, segments, chunk]` each: inputs, targets and weights (1, or 0 for padding)."""
    length: int  # tokens of a segment that are scored; fewer of the last one
    separator_id: int | None  # the token before which the state is reset


class _Places(NamedTuple):
    """Where in a corpus the segments are, and in what chunks they are read."""

    starts: np.ndarray  # [segments, 1]
    length: int  # tokens of a segment that are scored
    scored: int  # tokens of the corpus that could be
    chunk: int  # tokens read at a time
    chunks: int


def segment(
    tokens: TokenSource, *, max_segments: int = _MAX_SEGMENTS, limit: int = 0, mesh: Mesh | None = None
) -> Segments:
    """Lay a corpus out side by side, on the device or, where it is too long for that, to be read in each pass.

    Args:
        tokens: the corpus, at least two tokens.
        max_segments: 1 reads it as a single stream.
        limit: tokens to score of a corpus that has more, about; segments are then stretches that lie evenly spread
            over it. 0 is all.
        mesh: devices to share the segments out to.

    Raises:
        ValueError: There are fewer than two tokens.
    """
    check_is_enough(tokens)
    places = _find_places(len(tokens), tokens.vocabulary.size, max_segments, limit)
    separator_id = tokens.vocabulary.separator_id
    warm_up = jax.device_put(tokens.take(places.starts - WARM_UP + np.arange(WARM_UP)))
    warm_up = warm_up if mesh is None else split_rows(mesh, warm_up)
    if places.starts.size * places.length <= _ON_DEVICE:
        whole = _read_chunks(tokens, places, 0, places.chunks, mesh)
        return Segments(warm_up, lambda: (whole,), places.length, separator_id)
    firsts = range(0, places.chunks, _PIECE)
    pieces = lambda: (_read_chunks(tokens, places, first, _PIECE, mesh) for first in firsts)  # noqa: E731
    return Segments(warm_up, pieces, places.length, separator_id)


def check_is_enough(tokens: TokenSource) -> None:
    """Check that there is something to predict.

    Raises:
        ValueError: There are fewer than two tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"evaluation: tokens must be at least 2, the first is only read; got {len(tokens)}")


def _find_places(size: int, vocabulary_size: int, max_segments: int, limit: int) -> _Places:
    scored = size - 1
    segments = max(1, min(max_segments, scored // (2 * WARM_UP)))
    stride = -(-scored // segments)
    length = min(stride, -(-limit // segments)) if limit else stride
    chunk = max(1, min(_CHUNK, length, stack.MOST_LOGITS // (segments * vocabulary_size)))
    starts = np.arange(segments, dtype=np.int64)[:, None] * stride
    return _Places(starts, length, scored, chunk, -(-length // chunk))


def logits_at_once(size: int, vocabulary_size: int) -> int:
    """Return how many logits a pass over a corpus of `size` tokens holds at a time."""
    if size < 2:
        return 0
    places = _find_places(size, vocabulary_size, _MAX_SEGMENTS, 0)
    return len(places.starts) * places.chunk * vocabulary_size


def _read_chunks(
    tokens: TokenSource, places: _Places, first: int, count: int, mesh: Mesh | None
) -> tuple[Array, Array, Array]:
    """Read inputs, targets and weights of some chunks, `[chunks, segments, chunk]` each; past the last one, padding."""
    offsets = np.arange(first * places.chunk, (first + count) * places.chunk)
    positions = places.starts + offsets
    weights = (offsets < places.length) & (positions < places.scored)

    def in_chunks(values: np.ndarray) -> Array:
        chunked: Array = jax.device_put(values.reshape(-1, count, places.chunk).swapaxes(0, 1))
        return chunked

    chunked = (
        in_chunks(tokens.take(positions)),
        in_chunks(tokens.take(positions + 1)),
        in_chunks(weights.astype(np.float32)),
    )
    return chunked if mesh is None else split_rows(mesh, chunked, axis=1)


def evaluate(config: ModelConfig, params: Params, segments: Segments) -> float:
    """Return the mean loss of a corpus, in nats per token.

    Args:
        config: the layers.
        params: their parameters.
        segments: from `segment`.
    """
    carry = warmed_up(config, segments.separator_id, params, segments.warm_up)
    loss = weight = 0.0
    for piece in segments.pieces():
        carry, losses = scan_chunks(config, segments.separator_id, _sum_losses, params, carry, piece)
        loss += _sum(losses)
        weight += _sum(_count(piece[-1]))
    return loss / weight


def _sum_losses(logits: Array, targets: Array, weights: Array) -> Array:
    return (softmax_cross_entropy(logits, targets) * weights).sum()


def _sum(numbers: Array) -> float:
    return float(np.asarray(numbers, np.float64).sum())


@jax.jit
def _count(weights: Array) -> Array:
    """Return how many tokens of each chunk are scored, `[chunks]`: read whole where devices share the segments."""
    return weights.sum((1, 2))


@partial(jax.jit, static_argnums=(0, 1, 2))
def scan_chunks(
    config: ModelConfig,
    separator_id: int | None,
    measure: Callable[..., Any],
    params: Params,
    carry: Carry,
    chunks: tuple[Array, ...],
) -> tuple[Carry, Any]:
    """Read chunks one after the other, each row on and on.

    Args:
        config: the layers.
        separator_id: the token before which the state is reset, or None.
        measure: what is wanted of a chunk: a function of its logits `[rows, chunk, vocabulary]` and of all in `chunks`
            but the inputs.
        params: the parameters.
        carry: before the first chunk.
        chunks: inputs and whatever `measure` takes, `[chunks, rows, chunk]` each.

    Returns:
        The carry after the last chunk, and what `measure` returns of each.
    """

    def read(carry: Carry, chunk: tuple[Array, ...]) -> tuple[Carry, Any]:
        inputs, *others = chunk
        carry, logits = stack.apply(config, params, carry, inputs, resets=find_resets(inputs, separator_id))
        return carry, measure(logits, *others)

    return jax.lax.scan(read, carry, chunks)


@partial(jax.jit, static_argnums=(0, 1))
def warmed_up(config: ModelConfig, separator_id: int | None, params: Params, warm_up: Array) -> Carry:
    """Return the carry with which each segment begins to be scored."""
    carry = stack.initial_carry(config, params, warm_up.shape[0])
    carry, _ = stack.apply(config, params, carry, warm_up, resets=find_resets(warm_up, separator_id))
    return jax.tree.map(lambda leaf: leaf.at[0].set(0), carry)  # nothing stands before the first segment
