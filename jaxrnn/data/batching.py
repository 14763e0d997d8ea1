"""Which tokens a step learns from: a pure function of the step and the key, with no iterator to save.

Stateful (truncated BPTT). The corpus is cut into `batch_size` streams of equal length that are read side by side,
`seq_len` tokens a step, and the carry continues from step to step:

    corpus    |-----------stream 0-----------|-----------stream 1-----------|
    step 0     [xxxxx]                         [xxxxx]
    step 1            [xxxxx]                         [xxxxx]
    step 2                   [xxxxx]                         [xxxxx]

After the last chunk of the streams a new epoch begins, with a zero carry and all streams shifted by another random
offset, so that the cuts fall elsewhere each time. A stream never wraps around the end of the corpus.

With `reset_rate` a stream now and then starts a chunk with a zero carry, so that the model learns to begin anywhere.

Windows. Each step draws `batch_size` windows of `seq_len` tokens anywhere in the corpus, and every carry is zero.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Key


class Block(NamedTuple):
    """Consecutive batches, read ahead from a corpus that is not on the device."""

    first: Array  # int32 scalar, the number of the first
    windows: Array  # [batches, batch, time + 1], uint8 or uint16: inputs, and the token after the last
    is_fresh: Array  # [batches], boolean: whether the carry starts at zero


def min_tokens(config: TrainConfig) -> int:
    """Return how many tokens the training split must have for this batch_size and seq_len."""
    if config.stateful:
        return config.batch_size * (config.seq_len + 1) + 1
    return config.seq_len + 1


def chunks_per_epoch(config: TrainConfig, num_tokens: int) -> int:
    """Return how many steps a stateful epoch has: whole chunks of a stream, and one token or more to shift by."""
    stream_length = (num_tokens - 1) // config.batch_size  # the very last token is only ever a target
    return (stream_length - 1) // config.seq_len


def batch(config: TrainConfig, key: Key, step: Array, ids: Array | Block) -> tuple[Array, Array, Array]:
    """Return the inputs and targets of one step.

    Args:
        config: `batch_size`, `seq_len`, `stateful`.
        key: of the whole run; the same key and step give the same batch.
        step: scalar integer, 0 for the first.
        ids: the training split `[tokens]`, at least `min_tokens(config)`; or a block of it that has the step.

    Returns:
        inputs `[batch, time]`, targets `[batch, time]` (each the token after its input), int32 both; and whether the
        carry starts at zero, a scalar boolean.
    """
    if isinstance(ids, Block):
        windows, is_fresh = ids.windows[step - ids.first], ids.is_fresh[step - ids.first]
    else:
        starts, is_fresh = _starts(config, key, step, ids.size)
        windows = ids[starts[:, None] + jnp.arange(config.seq_len + 1, dtype=jnp.int32)[None]]
    windows = windows.astype(jnp.int32)
    return windows[:, :-1], windows[:, 1:], is_fresh


def _starts(config: TrainConfig, key: Key, step: Array, num_tokens: int) -> tuple[Array, Array]:
    """Return where in the corpus each row of a step's batch begins, `[batch]`, and whether the carry starts at zero."""
    if not config.stateful:
        return _draw(key, step, (config.batch_size,), num_tokens - config.seq_len), jnp.asarray(True)
    streams = _lay_out(config, num_tokens)
    epoch, chunk = step // streams.chunks, step % streams.chunks
    rows = jnp.arange(config.batch_size, dtype=jnp.int32) * streams.length
    return _draw(key, epoch, (), streams.room + 1) + rows + chunk * config.seq_len, chunk == 0


def find_starts(
    config: TrainConfig, key: Key, first: int, num_steps: int, num_tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool]]:
    """Return where the batches of consecutive steps begin, in a corpus of any length: at the places that `batch` reads.

    Args:
        config: as for `batch`.
        key: likewise.
        first: the first step.
        num_steps: how many.
        num_tokens: of the training split.

    Returns:
        The position of each row, `[steps, batch]`; and whether the carry starts at zero, `[steps]`.
    """
    steps = first + np.arange(num_steps)
    if not config.stateful:
        starts = _draw_all(key, steps, (config.batch_size,), num_tokens - config.seq_len)
        return starts, np.ones(num_steps, np.bool)
    streams = _lay_out(config, num_tokens)
    epochs, chunks = np.divmod(steps, streams.chunks)
    offsets = _draw_all(key, epochs, (), streams.room + 1)
    rows = np.arange(config.batch_size) * streams.length
    return (offsets + chunks * config.seq_len)[:, None] + rows, chunks == 0


class _Streams(NamedTuple):
    """How a corpus is cut into streams."""

    length: int  # tokens from the start of one to that of the next
    chunks: int  # of `seq_len` tokens that an epoch reads of each
    room: int  # tokens that all can be shifted by


def _lay_out(config: TrainConfig, num_tokens: int) -> _Streams:
    chunks = chunks_per_epoch(config, num_tokens)
    length = (num_tokens - 1) // config.batch_size
    room = num_tokens - 1 - ((config.batch_size - 1) * length + chunks * config.seq_len)
    return _Streams(length, chunks, room)


def _draw(key: Key, number: Array, shape: tuple[int, ...], end: int) -> Array:
    """Draw positions from 0 up to, not including, `end`: others for each number."""
    return jax.random.randint(jax.random.fold_in(key, number), shape, 0, end, jnp.int32)


def _draw_all(
    key: Key, numbers: npt.NDArray[np.int64], shape: tuple[int, ...], end: int
) -> npt.NDArray[np.int64]:
    """Draw what `_draw` draws for each of several numbers, `[numbers, *shape]`.

    Positions that 32 bits can't hold are made of two draws of 32. Not all are exactly as likely then, but nearly: one
    part in 2^64 / `end`.
    """
    if end < 2**31:
        return np.asarray(_draw_short(key, numbers.astype(np.uint32), shape, end), np.int64)
    words = np.asarray(_draw_words(key, numbers.astype(np.uint32), shape), np.uint64)
    drawn: npt.NDArray[np.uint64] = (words[:, 0] << np.uint64(32) | words[:, 1]) % np.uint64(end)
    return drawn.astype(np.int64)


@partial(jax.jit, static_argnums=(2, 3))
def _draw_short(key: Key, numbers: Array, shape: tuple[int, ...], end: int) -> Array:
    return jax.vmap(lambda number: _draw(key, number, shape, end))(numbers)


@partial(jax.jit, static_argnums=2)
def _draw_words(key: Key, numbers: Array, shape: tuple[int, ...]) -> Array:
    fold_in, bits = jax.random.fold_in, jax.random.bits
    return jax.vmap(lambda number: bits(fold_in(key, number), (2, *shape), jnp.uint32))(numbers)


def draw_resets(config: TrainConfig, key: Key, step: Array) -> Array:
    """Return which streams start this step at a zero carry though they continue: `[batch]`, true by `reset_rate`.

    Args:
        config: `batch_size`, `reset_rate`.
        key: of the whole run, another one than that of `batch`.
        step: scalar integer.
    """
    rate = jnp.float32(config.reset_rate)
    return jax.random.bernoulli(jax.random.fold_in(key, step), rate, (config.batch_size,))
