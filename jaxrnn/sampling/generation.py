"""Generation: read a seed text, then draw one character after another, with the carry kept between them.

The cost of a character does not grow with the text before it. The seed is read once, by one row; the samples then go on
from its carry in tiles of a fixed number of rows, a jitted scan of a fixed number of characters each. So nothing is
compiled anew for another seed, length, temperature or number of samples, and a sample is the same to the last bit
whatever is written beside it: it always stands in the same row of a tile of the same shape, whereas a product of one
row and a product of 64 are rounded differently.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Vocabulary, encode
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.types import Array, Carry, Params

# Characters a dispatch: soon there to be seen, enough of them to keep Python out of the way; fewer where their noise, a
# number for each token of the vocabulary, would not fit `MOST_LOGITS`.
_BLOCK = 128
_PIECE = 1024  # characters of the seed a dispatch
# Rows of a tile. A CPU pays for every row: four take 2 to 3 times as long as one. So the usual single sample gets a row
# to itself, and many samples get every core. Only where the weights are too large for a core's cache, and reading them
# is what takes the time, do four rows share it. An accelerator, which waits for the steps to follow each other, hardly
# pays for any.
_NARROW_ROWS, _WIDE_ROWS, _ACCELERATOR_ROWS = 1, 4, 64
_WIDE = 2**18  # numbers in a parameter: 1 MB


class Choice(NamedTuple):
    """How a character is chosen, scalars all: another value compiles nothing anew."""

    temperature: Array  # float32
    top_k: Array  # int32, the size of the vocabulary for all
    top_p: Array  # float32


def make_choice(vocabulary_size: int, temperature: float, top_k: int, top_p: float) -> Choice:
    """How to choose among so many characters; the arguments are those of `sample`.

    Raises:
        ValueError: An argument is out of range.
    """
    if top_k < 0:
        raise ValueError("sample: top_k must be at least 0")
    if not (temperature >= 0 and np.isfinite(temperature)) or not 0 < top_p <= 1:
        raise ValueError("sample: temperature must be at least 0 and finite, top_p in (0, 1]")
    most_likely = min(top_k, vocabulary_size) or vocabulary_size
    return Choice(*jax.device_put((np.float32(temperature), np.int32(most_likely), np.float32(top_p))))


def prompt_ids(vocabulary: Vocabulary, seed: str) -> np.ndarray:
    """The ids of the text to go on from.

    A lone newline, the seed where none is given, has to work for every text: where the vocabulary lacks it, a space
    stands in for it, or else the first character.

    Raises:
        VocabularyError: The seed has a character that the vocabulary lacks.
    """
    if seed == "\n" and seed not in vocabulary.characters:
        seed = " " if " " in vocabulary.characters else vocabulary.characters[0]
    return encode(vocabulary, seed)


class Block(NamedTuple):
    """New tokens of every sample."""

    ids: np.ndarray  # [num_samples, tokens]
    nll: np.ndarray  # [num_samples, tokens], float32, nats: -log p before temperature, top_k and top_p


def sample(
    config: ModelConfig,
    params: Params,
    prompt_ids: np.ndarray,
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    num_samples: int = 1,
    rng_seed: int = 0,
    separator_id: int | None = None,
) -> Iterator[Block]:
    """Continue a prompt, in blocks as they are made.

    Args:
        config: the layers.
        params: their parameters.
        prompt_ids: the prompt, `[tokens]`, at least one.
        length: new tokens a sample.
        temperature: divides the logits; 0 takes the most likely token every time.
        top_k: draw from the k most likely tokens only; 0 is all.
        top_p: draw from the most likely tokens that together have this probability (Holtzman et al., 2020);
            1 is all. Applied after `top_k`.
        num_samples: samples side by side; sample i is the same whatever their number.
        rng_seed: the same integer draws the same tokens.
        separator_id: the token before which the state is reset (`Vocabulary.separator_id`), or None.

    Yields:
        Blocks of new tokens, `length` of each sample in all.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> config, vocabulary = ModelConfig(), Vocabulary("abcdefgh")
        >>> params = stack.init(jax.random.key(0), config, vocabulary.size)
        >>> blocks = sample(config, params, prompt_ids(vocabulary, "head"), length=200, num_samples=2)
        >>> [block.ids.shape for block in blocks]
        [(2, 128), (2, 72)]
    """
    if len(prompt_ids) == 0:
        raise ValueError("sample: the prompt is empty; one token at least is needed to begin")
    if length < 0 or num_samples < 1:
        raise ValueError("sample: length must be at least 0, num_samples at least 1")
    vocabulary_size = params[0].table.shape[0]
    choice = make_choice(vocabulary_size, temperature, top_k, top_p)

    def blocks() -> Iterator[Block]:
        # By way of the host, from wherever training holds them: sampling runs on the default device alone.
        weights = jax.device_put(jax.device_get(params))
        projected, carry = begin(config, weights)
        carry = read(config, separator_id, weights, projected, carry, np.asarray(prompt_ids[:-1], np.int32))
        rows = _rows(weights)
        block = max(1, min(_BLOCK, stack.MOST_LOGITS // (rows * vocabulary_size)))
        state = _repeat(rows, (carry, jax.device_put(np.asarray(prompt_ids[-1:], np.int32))))
        states = [state] * -(-num_samples // rows)
        random = np.uint32(rng_seed % 2**32)

        def write(tile: int, start: int) -> tuple[Array, Array]:
            at = jax.device_put((random, np.int32(tile * rows), np.int32(start)))
            states[tile], (ids, nll, _) = draw_block(
                config, separator_id, block, _observe_nothing, weights, projected, choice, at, states[tile]
            )
            return ids, nll

        # The block that is on its way while the next one is sent after it.
        before: list[tuple[Array, Array]] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # a small step occupies one core only
            in_turn = pool.map if len(states) > 1 else map
            for start in range(0, length + block, block):
                tiles = range(len(states) if start < length else 0)
                new = list(in_turn(write, tiles, repeat(start)))
                if before:
                    ids, nll = (np.concatenate(parts) for parts in zip(*before, strict=True))
                    kept = (slice(num_samples), slice(length - start + block))
                    yield Block(ids[kept], nll[kept])
                before = new

    return blocks()


def _rows(params: Params) -> int:
    """Rows of a tile; the number of samples has no say in it."""
    if jax.default_backend() != "cpu":
        return _ACCELERATOR_ROWS
    widest = max(leaf.size for leaf in jax.tree.leaves(params))
    return _NARROW_ROWS if widest <= _WIDE else _WIDE_ROWS


def read(
    config: ModelConfig,
    separator_id: int | None,
    params: Params,
    projected: Array | None,
    carry: Carry,
    ids: np.ndarray,
) -> Carry:
    """The carry `[1, ...]` after ids `[characters]`, any number of them."""
    for start in range(0, len(ids), _PIECE):
        here = ids[start : start + _PIECE]
        piece, count = jax.device_put((np.pad(here, (0, _PIECE - len(here))), np.int32(len(here))))
        carry = _read_piece(config, separator_id, params, projected, carry, piece, count)
    return carry


@partial(jax.jit, static_argnums=0)
def begin(config: ModelConfig, params: Params) -> tuple[Array | None, Carry]:
    """What serves for every character: the projected table; and the carry of one row before the first."""
    return stack.project_table(config, params), stack.initial_carry(config, params, 1)


@partial(jax.jit, static_argnums=(0, 1))
def _read_piece(
    config: ModelConfig,
    separator_id: int | None,
    params: Params,
    projected: Array | None,
    carry: Carry,
    piece: Array,
    count: Array,
) -> Carry:
    """The carry after the first `count` ids of a piece `[_PIECE]`; the logits, unused, are never computed."""

    def read(t: Array, carry: Carry) -> Carry:
        token = piece[t][None]
        return stack.step(config, params, projected, carry, token, find_resets(token, separator_id))[0]

    return jax.lax.fori_loop(0, count, read, carry)


@partial(jax.jit, static_argnums=0)
def _repeat(rows: int, state: tuple[Carry, Array]) -> tuple[Carry, Array]:
    """A tile of `rows` rows, all of them like the one in `state`."""
    repeated: tuple[Carry, Array] = jax.tree.map(lambda leaf: jnp.repeat(leaf, rows, axis=0), state)
    return repeated


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def draw_block(
    config: ModelConfig,
    separator_id: int | None,
    length: int,
    observe: Callable[[Carry, Array], Any],
    params: Params,
    projected: Array | None,
    choice: Choice,
    at: tuple[Array, Array, Array],
    state: tuple[Carry, Array],
) -> tuple[tuple[Carry, Array], tuple[Array, Array, Any]]:
    """Draw the next tokens of the rows of one tile.

    Args:
        config: the layers.
        separator_id: the token before which the state is reset, or None.
        length: how many tokens.
        observe: what else is wanted of each token: a function of the carry and the logits that it is drawn from.
        params: their parameters.
        projected: the projected table.
        choice: how a token is chosen.
        at: three integers: the RNG seed, and the numbers of the tile's first sample and of the first token.
        state: the carry, and the last ids `[rows]`.

    Returns:
        The state after them; and the new ids `[rows, length]`, their negative log-likelihood `[rows, length]` in nats,
        and what `observe` returns, `[rows, length, ...]`.
    """
    noise = draw_noise(at, (length, state[1].shape[0], params[0].table.shape[0]))

    def step(
        state: tuple[Carry, Array], noise: Array
    ) -> tuple[tuple[Carry, Array], tuple[Array, Array, Any]]:
        carry, tokens = state
        carry, logits = stack.step(
            config, params, projected, carry, tokens, find_resets(tokens, separator_id)
        )
        logits = logits.astype(jnp.float32)
        tokens = choose(logits, noise, choice)
        return (carry, tokens), (tokens, softmax_cross_entropy(logits, tokens), observe(carry, logits))

    state, drawn = jax.lax.scan(step, state, noise)
    return state, jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), drawn)


def _observe_nothing(_carry: Carry, _logits: Array) -> tuple[()]:
    return ()


def draw_noise(at: tuple[Array, Array, Array], shape: tuple[int, int, int]) -> Array:
    """Gumbel noise of a shape `[characters, rows, vocabulary]`: of each character of each sample its own.

    Args:
        at: the seed of randomness, and the numbers of the first sample and of the first character.
        shape: of the noise.
    """
    random, first_sample, first_character = at
    length, rows, vocabulary_size = shape

    def draw(sample: Array, character: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(random), sample), character)
        return jax.random.gumbel(key, (vocabulary_size,), jnp.float32)

    samples = first_sample + jnp.arange(rows, dtype=jnp.int32)
    characters = first_character + jnp.arange(length, dtype=jnp.int32)
    return jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(samples, characters)


def choose(logits: Array, noise: Array, choice: Choice) -> Array:
    """One id for each row of logits `[rows, vocabulary]`.

    The likeliest after Gumbel noise is a draw from the softmax (Gumbel, 1954); without noise, the greedy choice.
    """
    # A temperature too small for a float32 is none, and then nothing is left to chance.
    is_greedy = choice.temperature < np.finfo(np.float32).tiny.item()
    # The likeliest is shifted to 0: no quotient overflows upwards.
    wide = logits.astype(jnp.float32)
    scaled = (wide - wide.max(axis=-1, keepdims=True)) / jnp.where(is_greedy, 1, choice.temperature)
    is_truncated = (choice.top_k < logits.shape[-1]) | (choice.top_p < 1)
    scaled = jax.lax.cond(is_truncated, lambda: _truncate(scaled, choice), lambda: scaled)
    return jnp.argmax(scaled + jnp.where(is_greedy, 0, noise), axis=-1).astype(jnp.int32)


def _truncate(scaled: Array, choice: Choice) -> Array:
    """Minus infinity for what `top_k` and then `top_p` leave out of logits `[rows, vocabulary]`, at most 0 each."""
    # The bits of floats from 0 up are in the order of the floats, and integers are sorted eight times as fast.
    bits = jax.lax.bitcast_convert_type(jnp.abs(scaled), jnp.int32)
    descending = -jax.lax.bitcast_convert_type(jax.lax.sort(bits), jnp.float32)
    # The smallest logit that top_k lets through, then the smallest of the shortest head that reaches top_p.
    ranks = jax.lax.broadcasted_iota(jnp.int32, scaled.shape, scaled.ndim - 1)
    probabilities = jax.nn.softmax(jnp.where(ranks < choice.top_k, descending, -jnp.inf))
    before = jnp.cumsum(probabilities, axis=-1) - probabilities  # the probability of all that are likelier
    kept = (ranks < choice.top_k) & ((before < choice.top_p) | (ranks == 0))
    least = jnp.min(jnp.where(kept, descending, jnp.inf), axis=-1, keepdims=True)
    # Equal logits at the border all stay: the choice does not depend on the order of the vocabulary.
    return jnp.where(scaled >= least, scaled, -jnp.inf)
