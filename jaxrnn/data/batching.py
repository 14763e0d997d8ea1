"""The batch of each step, as a pure function of the step and the key: there is no iterator to save.

Stateful (truncated BPTT). The corpus is split into `batch_size` streams of equal length. Each step reads `seq_len`
tokens of every stream, and the carry continues from step to step:

    corpus    |-----------stream 0-----------|-----------stream 1-----------|
    step 0     [xxxxx]                         [xxxxx]
    step 1            [xxxxx]                         [xxxxx]
    step 2                   [xxxxx]                         [xxxxx]

After the last chunk of the streams a new epoch begins, with a zero carry and all streams shifted by a new random
offset, so that chunk boundaries differ between epochs. A stream never wraps around the end of the corpus.

With `reset_rate`, a stream starts a chunk with a zero carry with this probability, so that the model learns to predict
from a zero state at any position.

Windows. Each step draws `batch_size` windows of `seq_len` tokens at random positions, and every carry is zero.
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
    """Consecutive batches, prefetched from a corpus that is not on the device."""

    first: Array  # int32 scalar, the number of the first batch
    windows: Array  # [batches, batch, time + 1], uint8 or uint16: the inputs and one token more
    is_fresh: Array  # [batches], boolean: whether the carry starts at zero


def min_tokens(config: TrainConfig) -> int:
    """Return the minimum length of the training split in tokens, for this batch_size and seq_len."""
    if config.stateful:
        return config.batch_size * (config.seq_len + 1) + 1
    return config.seq_len + 1


def chunks_per_epoch(config: TrainConfig, num_tokens: int) -> int:
    """Return the number of steps in a stateful epoch: whole chunks of a stream, with at least one token to shift by."""
    stream_length = (num_tokens - 1) // config.batch_size  # the last token of the corpus is only a target
    return (stream_length - 1) // config.seq_len


def batch(config: TrainConfig, key: Key, step: Array, ids: Array | Block) -> tuple[Array, Array, Array]:
    """Return the inputs and targets of one step.

    Args:
        config: `batch_size`, `seq_len`, `stateful`.
        key: The key of the run; the same key and step give the same batch.
        step: Scalar integer, 0 for the first.
        ids: The training split `[tokens]`, at least `min_tokens(config)`; or a block that contains the step.

    Returns:
        Inputs `[batch, time]` and targets `[batch, time]` (the token after each input), both int32; and whether the
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
    """Return the start position of each row of a batch, `[batch]`, and whether the carry starts at zero."""
    if not config.stateful:
        return _draw(key, step, (config.batch_size,), num_tokens - config.seq_len), jnp.asarray(True)
    streams = _lay_out(config, num_tokens)
    epoch, chunk = step // streams.chunks, step % streams.chunks
    rows = jnp.arange(config.batch_size, dtype=jnp.int32) * streams.length
    return _draw(key, epoch, (), streams.max_shift + 1) + rows + chunk * config.seq_len, chunk == 0


def find_starts(
    config: TrainConfig, key: Key, first: int, num_steps: int, num_tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool]]:
    """Return the start positions of consecutive batches, equal to those of `batch`, for a corpus of any length.

    Args:
        config: As for `batch`.
        key: As for `batch`.
        first: The first step.
        num_steps: The number of steps.
        num_tokens: The length of the training split.

    Returns:
        The start position of each row, `[steps, batch]`; and whether the carry starts at zero, `[steps]`.
    """
    steps = first + np.arange(num_steps)
    if not config.stateful:
        starts = _draw_all(key, steps, (config.batch_size,), num_tokens - config.seq_len)
        return starts, np.ones(num_steps, np.bool)
    streams = _lay_out(config, num_tokens)
    epochs, chunks = np.divmod(steps, streams.chunks)
    offsets = _draw_all(key, epochs, (), streams.max_shift + 1)
    rows = np.arange(config.batch_size) * streams.length
    return (offsets + chunks * config.seq_len)[:, None] + rows, chunks == 0


class _Streams(NamedTuple):
    """The layout of a corpus in streams."""

    length: int  # tokens from the start of one stream to the start of the next
    chunks: int  # chunks of `seq_len` tokens per stream and epoch
    max_shift: int  # the largest offset of all streams, in tokens


def _lay_out(config: TrainConfig, num_tokens: int) -> _Streams:
    chunks = chunks_per_epoch(config, num_tokens)
    length = (num_tokens - 1) // config.batch_size
    max_shift = num_tokens - 1 - ((config.batch_size - 1) * length + chunks * config.seq_len)
    return _Streams(length, chunks, max_shift)


def _draw(key: Key, number: Array, shape: tuple[int, ...], end: int) -> Array:
    """Draw positions from 0 up to, not including, `end`, from the key and a step or epoch number."""
    return jax.random.randint(jax.random.fold_in(key, number), shape, 0, end, jnp.int32)


def _draw_all(
    key: Key, numbers: npt.NDArray[np.int64], shape: tuple[int, ...], end: int
) -> npt.NDArray[np.int64]:
    """Apply `_draw` to each of several numbers, `[numbers, *shape]`.

    Positions beyond 31 bits are made of two draws of 32 bits. Their probabilities then differ by at most one part in
    2^64 / `end`.
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
    """Draw which streams start this step with a zero carry, with probability `reset_rate`: booleans `[batch]`.

    Args:
        config: `batch_size`, `reset_rate`.
        key: A key of the run, different from that of `batch`.
        step: Scalar integer.
    """
    rate = jnp.float32(config.reset_rate)
    return jax.random.bernoulli(jax.random.fold_in(key, step), rate, (config.batch_size,))
