"""Which characters a step learns from: a pure function of the step and the seed, with no iterator to save.

Stateful (truncated BPTT). The text is cut into `batch_size` streams of equal length that are read side by side,
`seq_len` characters a step, and the carry goes on from step to step:

    text      |-----------stream 0-----------|-----------stream 1-----------|
    step 0     [xxxxx]                         [xxxxx]
    step 1            [xxxxx]                         [xxxxx]
    step 2                   [xxxxx]                         [xxxxx]

After the last chunk of the streams a new epoch begins, with an empty carry and all streams shifted by another random
offset, so that the cuts fall elsewhere each time. A stream never wraps around the end of the text.

With `reset_rate` a stream now and then starts a chunk with an empty carry, so that the model learns to begin anywhere.

Windows. Each step draws `batch_size` windows of `seq_len` characters anywhere in the text, and every carry is empty.
"""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Key

_Starts: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


class Block(NamedTuple):
    """Consecutive batches, read ahead from a text that is not on the device."""

    first: Array  # int32 scalar, the number of the first
    windows: Array  # [batches, batch, time + 1], uint8 or uint16: inputs, and the character after the last
    is_fresh: Array  # [batches], boolean: whether the carry starts empty


def min_characters(config: TrainConfig) -> int:
    """How many characters of training text this batch_size and seq_len need."""
    if config.stateful:
        return config.batch_size * (config.seq_len + 1) + 1
    return config.seq_len + 1


def chunks_per_epoch(config: TrainConfig, num_characters: int) -> int:
    """How many steps a stateful epoch has: whole chunks of a stream, with at least one character left to shift by."""
    stream_length = (num_characters - 1) // config.batch_size  # the very last character is only ever a target
    return (stream_length - 1) // config.seq_len


def batch(config: TrainConfig, key: Key, step: Array, ids: Array | Block) -> tuple[Array, Array, Array]:
    """The inputs and targets of one step.

    Args:
        config: `batch_size`, `seq_len`, `stateful`.
        key: of the whole run; the same key and step give the same batch.
        step: scalar integer, 0 for the first.
        ids: the training text `[characters]`, at least `min_characters(config)`; or a block of it that has the step.

    Returns:
        inputs `[batch, time]`, targets `[batch, time]` (each the character after its input), int32 both; and whether
        the carry starts empty, a scalar boolean.
    """
    if isinstance(ids, Block):
        windows, is_fresh = ids.windows[step - ids.first], ids.is_fresh[step - ids.first]
    else:
        starts, is_fresh = _starts(config, key, step, ids.size)
        windows = ids[starts[:, None] + jnp.arange(config.seq_len + 1)]
    windows = windows.astype(jnp.int32)
    return windows[:, :-1], windows[:, 1:], is_fresh


def _starts(config: TrainConfig, key: Key, step: Array, num_characters: int) -> tuple[Array, Array]:
    """Where in the text each row of a step's batch begins, `[batch]`, and whether the carry starts empty."""
    if not config.stateful:
        return _draw_windows(config, key, step, num_characters - config.seq_len), jnp.asarray(True)
    streams = _lay_out(config, num_characters)
    epoch, chunk = step // streams.chunks, step % streams.chunks
    rows = jnp.arange(config.batch_size) * streams.length
    return _draw_offset(key, epoch, streams.room) + rows + chunk * config.seq_len, chunk == 0


def find_starts(
    config: TrainConfig, key: Key, first: int, num_steps: int, num_characters: int
) -> tuple[_Starts, np.ndarray[Any, np.dtype[np.bool]]]:
    """Where the batches of consecutive steps begin, in a text of any length; the same places as those of `batch`.

    Args:
        config: as for `batch`.
        key: likewise.
        first: the first step.
        num_steps: how many.
        num_characters: of the training text.

    Returns:
        The position of each row, `[steps, batch]`; and whether the carry starts empty, `[steps]`.
    """
    steps = first + np.arange(num_steps)
    if not config.stateful:
        starts = _draw_all_windows(config, key, steps.astype(np.uint32), num_characters - config.seq_len)
        return starts, np.ones(num_steps, np.bool)
    streams = _lay_out(config, num_characters)
    epochs, chunks = np.divmod(steps, streams.chunks)
    offsets = _draw_offsets(key, epochs.astype(np.uint32), streams.room)
    rows = np.arange(config.batch_size) * streams.length
    return (np.asarray(offsets, np.int64) + chunks * config.seq_len)[:, None] + rows, chunks == 0


class _Streams(NamedTuple):
    """How a text is cut into streams."""

    length: int  # characters from the start of one to that of the next
    chunks: int  # of `seq_len` characters that an epoch reads of each
    room: int  # characters that all can be shifted by


def _lay_out(config: TrainConfig, num_characters: int) -> _Streams:
    chunks = chunks_per_epoch(config, num_characters)
    length = (num_characters - 1) // config.batch_size
    room = num_characters - 1 - ((config.batch_size - 1) * length + chunks * config.seq_len)
    return _Streams(length, chunks, room)


def _draw_offset(key: Key, epoch: Array, room: int) -> Array:
    """By how many characters the streams of an epoch are shifted."""
    return jax.random.randint(jax.random.fold_in(key, epoch), (), 0, room + 1)


def _draw_windows(config: TrainConfig, key: Key, step: Array, end: int) -> Array:
    """Where the windows of a step begin, `[batch]`: below `end`."""
    return jax.random.randint(jax.random.fold_in(key, step), (config.batch_size,), 0, end)


@partial(jax.jit, static_argnums=2)
def _draw_offsets(key: Key, epochs: Array, room: int) -> Array:
    return jax.vmap(lambda epoch: _draw_offset(key, epoch, room))(epochs)


def _draw_all_windows(config: TrainConfig, key: Key, steps: np.ndarray[Any, Any], end: int) -> _Starts:
    """Where the windows of several steps begin, `[steps, batch]`.

    Positions that 32 bits can't hold are made of two draws of 32. Not all are exactly as likely then, but nearly: one
    part in 2^64 / `end`.
    """
    if end < 2**31:
        return np.asarray(_draw_short(config, key, steps, end), np.int64)
    words = np.asarray(_draw_words(config, key, steps), np.uint64)
    starts: _Starts = ((words[0] << np.uint64(32) | words[1]) % np.uint64(end)).astype(np.int64)
    return starts


@partial(jax.jit, static_argnums=(0, 3))
def _draw_short(config: TrainConfig, key: Key, steps: Array, end: int) -> Array:
    return jax.vmap(lambda step: _draw_windows(config, key, step, end))(steps)


@partial(jax.jit, static_argnums=0)
def _draw_words(config: TrainConfig, key: Key, steps: Array) -> Array:
    def draw(step: Array) -> Array:
        return jax.random.bits(jax.random.fold_in(key, step), (2, config.batch_size), jnp.uint32)

    return jax.vmap(draw, out_axes=1)(steps)


def draw_resets(config: TrainConfig, key: Key, step: Array) -> Array:
    """Which streams start this step with an empty carry though they go on: `[batch]`, each true by `reset_rate`.

    Args:
        config: `batch_size`, `reset_rate`.
        key: of the whole run, another one than that of `batch`.
        step: scalar integer.
    """
    rate = jnp.float32(config.reset_rate)
    return jax.random.bernoulli(jax.random.fold_in(key, step), rate, (config.batch_size,))
