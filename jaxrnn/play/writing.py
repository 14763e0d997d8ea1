"""Text with all that is to be seen of how it is made: the alternatives to each character, its surprisal, the states.

One jitted function of eight steps serves every request; what differs from one to the next (temperature, seed, text) is
data to it, so that nothing is compiled anew.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.models import stack
from jaxrnn.sampling.generation import begin, draw_block, make_choice, read
from jaxrnn.types import Array, Carry, Params

BLOCK = 8  # characters a dispatch: soon there, and shared fairly between those who wait
_ALTERNATIVES = 5


class Writer(NamedTuple):
    """A model, ready to write."""

    config: ModelConfig
    params: Params
    projected: Array | None
    blank: Carry  # before the first character
    separator_id: int | None  # the token before which the state is reset


class Block(NamedTuple):
    """Characters, and how they came about.

    Attributes:
        ids: `[characters]`, int32.
        nll: `[characters]`, float32, nats: the model's own surprisal, whatever the temperature.
        likeliest: `[characters, alternatives]`, int32: the ids most likely at that place, the likeliest first.
        probabilities: theirs, `[characters, alternatives]`, float32.
        states: h of each recurrent layer that the character was drawn from, `[characters, units]`, float32.
    """

    ids: np.ndarray
    nll: np.ndarray
    likeliest: np.ndarray
    probabilities: np.ndarray
    states: tuple[np.ndarray, ...]


def prepare(config: ModelConfig, params: Params, separator_id: int | None = None) -> Writer:
    """Make what serves for every text, and compile what writes it, so that the first request need not wait."""
    params = jax.tree.map(jnp.asarray, jax.device_get(params))
    projected, blank = begin(config, params)
    writer = Writer(config, params, projected, blank, separator_id)
    for _ in write(writer, np.zeros(2, np.int32), length=1, temperature=1.0, top_k=0, top_p=1.0, rng_seed=0):
        pass
    return writer


def recurrent_layers(config: ModelConfig, params: Params) -> tuple[int, ...]:
    """Return the indices in the config's list of the layers that `Block.states` holds."""
    carry = jax.eval_shape(partial(stack.initial_carry, config, batch_size=1), params)
    return tuple(index for index, of_layer in enumerate(carry) if stack.hidden_carry(of_layer))


def write(
    writer: Writer,
    prompt_ids: np.ndarray,
    *,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    rng_seed: int,
) -> Iterator[Block]:
    """Continue a prompt, a few characters at a time; the arguments are those of `jaxrnn.sampling.generation.sample`.

    The same RNG seed and prompt write the same as `jaxrnn sample` with one sample.

    Raises:
        ValueError: The prompt is empty, or an argument is out of range.
    """
    if len(prompt_ids) == 0:
        raise ValueError("write: the prompt is empty; one character at least is needed to begin")
    choice = make_choice(writer.params[0].table.shape[0], temperature, top_k, top_p)
    config, params, projected, blank, separator_id = writer
    carry = read(config, separator_id, params, projected, blank, np.asarray(prompt_ids[:-1], np.int32))
    state = carry, jnp.asarray(prompt_ids[-1:], jnp.int32), None
    for start in range(0, length, BLOCK):
        at = np.uint32(rng_seed % 2**32), np.int32(0), np.int32(start)
        state, drawn = draw_block(config, separator_id, BLOCK, _observe, params, projected, choice, at, state)
        left = length - start
        ids, nll, observed = jax.tree.map(lambda array, left=left: np.asarray(array)[0, :left], drawn)
        yield Block(ids, nll, *observed)


def _observe(carry: Carry, logits: Array) -> tuple[Array, Array, tuple[Array, ...]]:
    """Return the likeliest ids and their probabilities, and each recurrent layer's state."""
    probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(logits), min(_ALTERNATIVES, logits.shape[-1]))
    states = [state for of_layer in carry if (state := stack.hidden_carry(of_layer))]
    return likeliest, probabilities, tuple(state.h.astype(jnp.float32) for state in states)
