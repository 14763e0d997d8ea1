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

import jax
import jax.numpy as jnp

from jaxrnn.config import TrainConfig
from jaxrnn.types import Array, Key


def min_characters(config: TrainConfig) -> int:
    """How many characters of training text this batch_size and seq_len need."""
    if config.stateful:
        return config.batch_size * (config.seq_len + 1) + 1
    return config.seq_len + 1


def chunks_per_epoch(config: TrainConfig, num_characters: int) -> int:
    """How many steps a stateful epoch has: whole chunks of a stream, with at least one character left to shift by."""
    stream_length = (num_characters - 1) // config.batch_size  # the very last character is only ever a target
    return (stream_length - 1) // config.seq_len


def batch(config: TrainConfig, key: Key, step: Array, ids: Array) -> tuple[Array, Array, Array]:
    """The inputs and targets of one step.

    Args:
        config: `batch_size`, `seq_len`, `stateful`.
        key: of the whole run; the same key and step give the same batch.
        step: scalar integer, 0 for the first.
        ids: the training text `[characters]`, at least `min_characters(config)`.

    Returns:
        inputs `[batch, time]`, targets `[batch, time]` (each the character after its input), int32 both; and whether
        the carry starts empty, a scalar boolean.
    """
    size, length = config.batch_size, config.seq_len
    if config.stateful:
        chunks = chunks_per_epoch(config, ids.size)
        stream_length = (ids.size - 1) // size
        epoch, chunk = step // chunks, step % chunks
        room = ids.size - 1 - ((size - 1) * stream_length + chunks * length)
        offset = jax.random.randint(jax.random.fold_in(key, epoch), (), 0, room + 1)
        starts = offset + jnp.arange(size) * stream_length + chunk * length
        is_fresh = chunk == 0
    else:
        starts = jax.random.randint(jax.random.fold_in(key, step), (size,), 0, ids.size - length)
        is_fresh = jnp.asarray(True)
    windows = ids[starts[:, None] + jnp.arange(length + 1)].astype(jnp.int32)
    return windows[:, :-1], windows[:, 1:], is_fresh


def draw_resets(config: TrainConfig, key: Key, step: Array) -> Array:
    """Which streams start this step with an empty carry though they go on: `[batch]`, each true by `reset_rate`.

    Args:
        config: `batch_size`, `reset_rate`.
        key: of the whole run, another one than that of `batch`.
        step: scalar integer.
    """
    rate = jnp.float32(config.reset_rate)
    return jax.random.bernoulli(jax.random.fold_in(key, step), rate, (config.batch_size,))
