"""Prefetching: batches are read from disk and copied to the devices while the devices compute.

A block holds the batches of many steps. While the steps of one block are computed, a thread reads the next two. The
tokens of a batch depend only on its number: see `batching.find_starts`.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrnn.config import TrainConfig
from jaxrnn.data.batching import Block, find_starts
from jaxrnn.data.tokens import TokenSource
from jaxrnn.data.vocabulary import id_type
from jaxrnn.parallel.devices import place_rows, replicate
from jaxrnn.types import Array, Key

BLOCK_BYTES = 1 << 23  # token ids per block
AHEAD = 2  # number of prefetched blocks

Feed: TypeAlias = Callable[[int], tuple[Array | Block, int]]
"""A function from a step to the tokens that contain its batch, and the step up to which these tokens suffice."""


def feeding(
    config: TrainConfig, mesh: Mesh, key: Key, tokens: TokenSource, first: int, shift: int = 0
) -> Feed:
    """Return a function that provides the tokens of each step: the whole corpus, or one block after the other.

    Args:
        config: `steps`, `batch_size`, `seq_len`, `accumulate_steps`, `stateful`.
        mesh: The devices that share a batch.
        key: The key passed to `batching.batch`.
        tokens: The training split. If in memory, it is copied to the devices whole, and batches are cut there.
        first: The next step; the function must be called with ascending steps.
        shift: The offset of the batch numbers.

    Returns:
        The function; the reading thread ends with it.
    """
    if tokens.file is None:
        whole: Any = replicate(mesh, tokens.read())
        return lambda _: (whole, config.steps)
    num_steps = steps_per_block(config, id_type(tokens.vocabulary).itemsize, config.steps - first)
    # On this process's own device, because the start positions are used on the host.
    local_key = jax.random.wrap_key_data(
        jnp.asarray(np.asarray(jax.random.key_data(key))), impl=jax.random.key_impl(key)
    )
    pending: dict[int, Future[Block]] = {}
    reader = ThreadPoolExecutor(1, "jaxrnn-reader")

    def feed(step: int) -> tuple[Block, int]:
        current = step - (step - first) % num_steps
        for begin in range(current, min(current + (AHEAD + 1) * num_steps, config.steps), num_steps):
            if begin not in pending:
                first_batch = begin * config.accumulate_steps + shift
                count = num_steps * config.accumulate_steps
                starts, is_fresh = find_starts(config, local_key, first_batch, count, len(tokens))
                pending[begin] = reader.submit(_read, config, mesh, tokens, first_batch, starts, is_fresh)
        for begin in [begin for begin in pending if begin < current]:
            del pending[begin]
        return pending[current].result(), current + num_steps

    return feed


def steps_per_block(config: TrainConfig, itemsize: int, remaining: int) -> int:
    """Return the number of steps per block: at least one, at most `remaining`."""
    per_step = config.accumulate_steps * config.batch_size * (config.seq_len + 1) * itemsize
    return max(1, min(remaining, BLOCK_BYTES // per_step))


def _read(
    config: TrainConfig,
    mesh: Mesh,
    tokens: TokenSource,
    first: int,
    starts: "np.ndarray[Any, np.dtype[np.int64]]",
    is_fresh: "np.ndarray[Any, np.dtype[np.bool]]",
) -> Block:
    """Read one block; a process reads only the rows of its own devices."""

    def rows(index: tuple[slice, ...]) -> "np.ndarray[Any, Any]":
        return tokens.windows(starts[index[:2]], config.seq_len + 1)

    windows = place_rows(mesh, (*starts.shape, config.seq_len + 1), rows, axis=1)
    number: Any
    fresh: Any
    number, fresh = replicate(mesh, (np.int32(first), is_fresh))
    return Block(number, windows, fresh)
