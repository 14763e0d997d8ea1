"""Generation: read a prompt, then draw one token after another, with the carry kept between them.

The cost of a token does not grow with the text before it. The prompt is read once, by one row; the samples then
continue from its carry in tiles of a fixed number of rows, a jitted scan of a fixed number of tokens each. So another
prompt, length, number of samples or value of a rule compiles nothing anew, and a sample is bitwise identical whatever
is sampled next to it: it is always the same row of a tile of the same shape, whereas a product of one row and a product
of 64 are rounded differently.

A token is drawn from the softmax of logits that five rules change, in the order of Hugging Face transformers:

    repetition_penalty  a token that occurs in the prompt or the sample so far has its logit divided by the penalty if
                        positive, else multiplied by it (Keskar et al., 2019, "CTRL", section 4.1); a separator, which
                        resets the state, resets this too
    temperature         the logits are divided by it
    top_k               the k most likely tokens are kept
    top_p               of these, the fewest most likely that together have this share of their probability are kept
                        (Holtzman et al., 2020, "The Curious Case of Neural Text Degeneration")
    min_p               of these, the tokens at least min_p times as likely as the most likely one are kept (Nguyen et
                        al., 2024, "Turning Up the Heat: Min-p Sampling")
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, repeat
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Vocabulary, as_in_corpus, encode
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.types import Array, Carry, Params

# Tokens a dispatch: soon there to be seen, enough of them to keep Python out of the way; fewer where their noise, a
# number for each token of the vocabulary, would not fit `MOST_LOGITS`.
_BLOCK = 128
_PIECE = 1024  # tokens of the prompt a dispatch
# Rows of a tile. A CPU pays for every row: four take 2 to 3 times as long as one. So the usual single sample gets a row
# to itself, and many samples get every core. Only where the weights are too large for a core's cache, and reading them
# is what takes the time, do four rows share it. An accelerator, which waits for the steps to follow each other, hardly
# pays for any.
_NARROW_ROWS, _WIDE_ROWS, _ACCELERATOR_ROWS = 1, 4, 64
_WIDE = 2**18  # numbers in a parameter: 1 MB


class Truncation(NamedTuple):
    """Which of the most likely tokens are kept, all scalars."""

    top_k: Array  # int32, the size of the vocabulary for all
    top_p: Array  # float32
    log_min_p: Array  # float32, minus infinity for all


class Choice(NamedTuple):
    """How a token is chosen, all scalars: another value compiles nothing anew, but None makes another program."""

    temperature: Array  # float32
    truncation: Truncation | None  # None keeps all, without sorting them
    repetition_penalty: Array  # float32; without effect where no occurrences are given


def make_choice(
    vocabulary_size: int,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> Choice:
    """Return how to choose among so many tokens; the arguments are those of `sample`.

    Raises:
        ValueError: An argument is out of range.
    """
    if top_k < 0:
        raise ValueError("sample: top_k must be at least 0")
    if not (temperature >= 0 and np.isfinite(temperature)) or not 0 < top_p <= 1:
        raise ValueError("sample: temperature must be at least 0 and finite, top_p in (0, 1]")
    if not 0 <= min_p <= 1 or not (repetition_penalty >= 1 and np.isfinite(repetition_penalty)):
        raise ValueError("sample: min_p must be in [0, 1], repetition_penalty at least 1 and finite")
    most_likely = min(top_k, vocabulary_size) or vocabulary_size
    log_min_p = np.log(min_p) if min_p else -np.inf
    limits = np.int32(most_likely), np.float32(top_p), np.float32(log_min_p)
    is_truncated = most_likely < vocabulary_size or top_p < 1 or min_p > 0
    truncation = Truncation(*jax.device_put(limits)) if is_truncated else None
    # At 1e30 every token is as likely as any other already; the product with the noise must be finite.
    finite, penalty = jax.device_put((np.float32(min(temperature, 1e30)), np.float32(repetition_penalty)))
    return Choice(finite, truncation, penalty)


def prompt_ids(vocabulary: Vocabulary, prompt: str) -> np.ndarray:
    """Return the ids of a prompt, its line endings normalized like those of a corpus.

    A lone newline, the default prompt, has to work for every vocabulary: where it is missing, a space stands in for
    it, or else the first character.

    Raises:
        VocabularyError: The prompt has a character that the vocabulary lacks.
    """
    if prompt == "\n" and prompt not in vocabulary.characters:
        prompt = " " if " " in vocabulary.characters else vocabulary.characters[0]
    return encode(vocabulary, as_in_corpus(vocabulary, prompt))


# The carry, the last ids `[rows]`, not yet read, and which tokens occurred before them, bool `[rows, vocabulary]`; None
# without a repetition penalty.
State: TypeAlias = tuple[Carry, Array, Array | None]


class Block(NamedTuple):
    """New tokens of every sample."""

    ids: np.ndarray  # [num_samples, tokens]
    nll: np.ndarray  # [num_samples, tokens], float32, nats: -log p under the model, before any sampling rule


def sample(
    config: ModelConfig,
    params: Params,
    prompt_ids: np.ndarray,
    *,
    length: int | None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    num_samples: int = 1,
    rng_seed: int = 0,
    separator_id: int | None = None,
) -> Iterator[Block]:
    """Continue a prompt, in blocks as they are made; the rules apply in the order given in the module's docstring.

    Args:
        config: the layers.
        params: their parameters.
        prompt_ids: the prompt, `[tokens]`, at least one.
        length: new tokens a sample; None never ends.
        temperature: divides the logits; 0 takes the most likely token every time.
        top_k: draw from the k most likely tokens only; 0 is all.
        top_p: draw from the most likely tokens that together have this probability; 1 is all.
        min_p: draw from the tokens at least this many times as likely as the most likely one; 0 is all.
        repetition_penalty: makes tokens that have occurred before less likely; 1: no penalty.
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
    if (length or 0) < 0 or num_samples < 1:
        raise ValueError("sample: length must be at least 0, num_samples at least 1")
    vocabulary_size = params[0].table.shape[0]
    choice = make_choice(vocabulary_size, temperature, top_k, top_p, min_p, repetition_penalty)

    def blocks() -> Iterator[Block]:
        # By way of the host, from wherever training holds them: sampling runs on the default device alone.
        weights = jax.device_put(jax.device_get(params))
        projected, carry = begin(config, weights)
        before, last = np.split(np.asarray(prompt_ids, np.int32), [-1])
        carry = read(config, separator_id, weights, projected, carry, before)
        occurred = None if repetition_penalty == 1 else _occurrences(before, separator_id, vocabulary_size)
        rows = _rows(weights)
        block = max(1, min(_BLOCK, stack.MOST_LOGITS // (rows * vocabulary_size)))
        state = _repeat(rows, (carry, *jax.device_put((last, occurred))))
        states = [state] * -(-num_samples // rows)
        random = np.uint32(rng_seed % 2**32)

        def write(tile: int, start: int) -> tuple[Array, Array]:
            at = jax.device_put((random, np.int32(tile * rows), np.int32(start % 2**31)))
            states[tile], (ids, nll, _) = draw_block(
                config, separator_id, block, _observe_nothing, weights, projected, choice, at, states[tile]
            )
            return ids, nll

        # The block that is on its way while the next one is sent after it.
        sent: list[tuple[Array, Array]] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # a small step occupies one core only
            in_turn = pool.map if len(states) > 1 else map
            for start in count(0, block):
                tiles = range(len(states) if length is None or start < length else 0)
                new = list(in_turn(write, tiles, repeat(start)))
                if sent:
                    ids, nll = (np.concatenate(parts) for parts in zip(*sent, strict=True))
                    kept = (slice(num_samples), slice(None if length is None else length - start + block))
                    yield Block(ids[kept], nll[kept])
                if not new:
                    return
                sent = new

    return blocks()


def _rows(params: Params) -> int:
    """Return the rows of a tile, which do not depend on the number of samples."""
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
    """Return the carry `[1, ...]` after ids `[tokens]`, any number of them."""
    for start in range(0, len(ids), _PIECE):
        here = ids[start : start + _PIECE]
        piece, count = jax.device_put((np.pad(here, (0, _PIECE - len(here))), np.int32(len(here))))
        carry = _read_piece(config, separator_id, params, projected, carry, piece, count)
    return carry


@partial(jax.jit, static_argnums=0)
def begin(config: ModelConfig, params: Params) -> tuple[Array | None, Carry]:
    """Return the projected table, which serves for every token, and the carry of one row before the first."""
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
    """Return the carry after the first `count` ids of a piece `[_PIECE]`; the logits, unused, are never computed."""

    def read(t: Array, carry: Carry) -> Carry:
        token = piece[t][None]
        return stack.step(config, params, projected, carry, token, find_resets(token, separator_id))[0]

    return jax.lax.fori_loop(0, count, read, carry)


def _occurrences(ids: np.ndarray, separator_id: int | None, vocabulary_size: int) -> np.ndarray:
    """Return which tokens occur in ids `[tokens]` since the last separator, bool `[1, vocabulary]`."""
    starts = np.flatnonzero(ids == separator_id)
    occurred = np.zeros((1, vocabulary_size), bool)
    occurred[0, ids[starts[-1] if starts.size else 0 :]] = True
    return occurred


@partial(jax.jit, static_argnums=0)
def _repeat(rows: int, state: State) -> State:
    """Return a tile of `rows` rows, all of them like the one in `state`."""
    repeated: State = jax.tree.map(lambda leaf: jnp.repeat(leaf, rows, axis=0), state)
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
    state: State,
) -> tuple[State, tuple[Array, Array, Any]]:
    """Draw the next tokens of the rows of one tile.

    Args:
        config: the layers.
        separator_id: the token before which the state is reset, or None.
        length: how many tokens.
        observe: a function of the carry and the logits that each token is drawn from.
        params: their parameters.
        projected: the projected table.
        choice: how a token is chosen.
        at: three integers: the RNG seed, and the numbers of the tile's first sample and of the first token.
        state: before them; see `State`.

    Returns:
        The state after them; and the new ids `[rows, length]`, their negative log-likelihood `[rows, length]` in nats,
        and the values of `observe`, `[rows, length, ...]`.
    """
    noise = draw_noise(at, (length, state[1].shape[0], params[0].table.shape[0]))

    def step(state: State, noise: Array) -> tuple[State, tuple[Array, Array, Any]]:
        carry, tokens, occurred = state
        resets = find_resets(tokens, separator_id)
        carry, logits = stack.step(config, params, projected, carry, tokens, resets)
        logits = logits.astype(jnp.float32)
        if occurred is not None:
            occurred = occurred if resets is None else occurred & ~resets[:, None]
            occurred |= jax.nn.one_hot(tokens, logits.shape[-1], dtype=bool)
        tokens = choose(logits, noise, choice, occurred)
        return (carry, tokens, occurred), (tokens, logits, observe(carry, logits))

    state, (ids, logits, observed) = jax.lax.scan(step, state, noise)
    drawn = ids, softmax_cross_entropy(logits, ids), observed
    return state, jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), drawn)


def _observe_nothing(_carry: Carry, _logits: Array) -> tuple[()]:
    return ()


def draw_noise(at: tuple[Array, Array, Array], shape: tuple[int, int, int]) -> Array:
    """Return Gumbel noise of a shape `[tokens, rows, vocabulary]`, independent for each token of each sample.

    Args:
        at: the RNG seed, and the numbers of the first sample and of the first token.
        shape: of the noise.
    """
    random, first_sample, first_token = at
    length, rows, vocabulary_size = shape

    def draw(sample: Array, token: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(random), sample), token)
        return jax.random.gumbel(key, (vocabulary_size,), jnp.float32)

    samples = first_sample + jnp.arange(rows, dtype=jnp.int32)
    tokens = first_token + jnp.arange(length, dtype=jnp.int32)
    return jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(samples, tokens)


def choose(logits: Array, noise: Array, choice: Choice, occurred: Array | None = None) -> Array:
    """Return one id for each row of logits `[rows, vocabulary]`.

    The most likely token after Gumbel noise is a draw from the softmax (Gumbel, 1954). At temperature T, logits / T +
    noise is largest where logits + T * noise is, which at T = 0 is the greedy choice.

    `occurred`, bool `[rows, vocabulary]`, has the tokens that the repetition penalty applies to.
    """
    wide = logits.astype(jnp.float32)
    if occurred is not None:
        penalty = choice.repetition_penalty
        wide = jnp.where(occurred, jnp.minimum(wide / penalty, wide * penalty), wide)
    if choice.truncation is not None:
        wide = jnp.where(_is_kept(wide, choice.temperature, choice.truncation), wide, -jnp.inf)
    return jnp.argmax(wide + choice.temperature * noise, axis=-1).astype(jnp.int32)


def _is_kept(logits: Array, temperature: Array, truncation: Truncation) -> Array:
    """Return which logits `[rows, vocabulary]` are kept by `top_k`, `top_p` and `min_p` at a temperature."""
    # A temperature that underflows in float32 is 0: the greedy choice.
    is_greedy = temperature < np.finfo(np.float32).tiny.item()
    # The largest is shifted to 0: no quotient overflows upwards.
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / jnp.where(is_greedy, 1, temperature)
    # The bits of floats from 0 up are in the order of the floats, and integers are sorted eight times as fast.
    bits = jax.lax.bitcast_convert_type(jnp.abs(scaled), jnp.int32)
    descending = -jax.lax.bitcast_convert_type(jax.lax.sort(bits), jnp.float32)
    # The smallest logit among the top_k, then the smallest of the fewest that reach top_p.
    ranks = jax.lax.broadcasted_iota(jnp.int32, scaled.shape, scaled.ndim - 1)
    probabilities = jax.nn.softmax(jnp.where(ranks < truncation.top_k, descending, -jnp.inf))
    before = jnp.cumsum(probabilities, axis=-1) - probabilities  # of the more likely ones
    kept = (ranks < truncation.top_k) & ((before < truncation.top_p) | (ranks == 0))
    least = jnp.min(jnp.where(kept, descending, jnp.inf), axis=-1, keepdims=True)
    # The largest is 0: min_p times its probability is that of the logit log min_p. Equal logits at the border all stay:
    # the choice does not depend on the order of the vocabulary.
    is_kept: Array = scaled >= jnp.maximum(least, truncation.log_min_p)
    return is_kept
