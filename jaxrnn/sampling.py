"""Generation: read a seed text, then draw one character after another, with the carry kept between them.

The cost of a character does not grow with the text before it. One jitted scan of a fixed number of steps both reads the
seed (its characters are forced) and writes (they are drawn), so nothing is compiled anew for another seed, length or
temperature.
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import model
from jaxrnn.config import ModelConfig
from jaxrnn.types import Array, Carry, Key, Params
from jaxrnn.vocabulary import Vocabulary, encode

_BLOCK = (
    16  # characters a dispatch: few enough to be seen as they come, many enough to keep Python out of the way
)
_FREE = -1  # marks a step whose character is drawn, not forced


def seed_ids(vocabulary: Vocabulary, seed: str) -> np.ndarray:
    """The ids of the text to go on from.

    A lone newline, the seed where none is given, has to work for every text: where the vocabulary lacks it, a space
    stands in for it, or else the first character.

    Raises:
        VocabularyError: The seed has a character that the vocabulary lacks.
    """
    if seed == "\n" and seed not in vocabulary.characters:
        seed = " " if " " in vocabulary.characters else vocabulary.characters[0]
    return encode(vocabulary, seed)


def sample(
    config: ModelConfig,
    params: Params,
    seed_ids: np.ndarray,
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    num_samples: int = 1,
    rng_seed: int = 0,
) -> Iterator[np.ndarray]:
    """Go on from a seed text, in blocks as they are made.

    Args:
        config: the layers.
        params: their parameters.
        seed_ids: the text to go on from, `[characters]`, at least one.
        length: new characters a sample.
        temperature: divides the logits; 0 takes the most likely character every time.
        top_k: draw from the k most likely characters only; 0 is all.
        top_p: draw from the most likely characters that together have this probability (Holtzman et al., 2020);
            1 is all. Applied after `top_k`.
        num_samples: samples side by side. Each has its own key, made of `rng_seed` and its number.
        rng_seed: the same integer draws the same text.

    Yields:
        Blocks of new ids `[num_samples, characters]`, `length` characters of each sample in all.

    Raises:
        ValueError: An argument is out of range.
    """
    if len(seed_ids) == 0:
        raise ValueError("sample: the seed text is empty; one character at least is needed to begin")
    if length < 0 or num_samples < 1 or top_k < 0:
        raise ValueError("sample: length and top_k must be at least 0, num_samples at least 1")
    if not (temperature >= 0 and np.isfinite(temperature)) or not 0 < top_p <= 1:
        raise ValueError("sample: temperature must be at least 0 and finite, top_p in (0, 1]")
    vocabulary_size = params[0].table.shape[0]
    choice = (
        jnp.float32(temperature),
        jnp.int32(min(top_k, vocabulary_size) or vocabulary_size),
        jnp.float32(top_p),
    )
    # By way of the host, from wherever training holds them: sampling runs on the default device alone.
    params = jax.tree.map(jnp.asarray, jax.device_get(params))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(rng_seed), jnp.arange(num_samples))
    projected = _project(config, params)
    carry = model.initial_carry(config, params, num_samples)
    tokens = jnp.full((num_samples,), seed_ids[0], jnp.int32)
    # Step t reads one character and decides the next: the seed's while there is one, then a drawn one.
    forced = np.asarray(seed_ids[1:], np.int32)
    total = len(forced) + length
    for start in range(0, total, _BLOCK):
        block = np.full((_BLOCK,), _FREE, np.int32)
        here = forced[start : start + _BLOCK]
        block[: len(here)] = here
        (carry, tokens), new = _block(
            config, params, projected, keys, choice, carry, tokens, jnp.asarray(block), jnp.int32(start)
        )
        drawn = np.asarray(new)[:, len(here) : total - start]
        if drawn.shape[1]:
            yield drawn


@partial(jax.jit, static_argnums=0)
def _project(config: ModelConfig, params: Params) -> Array | None:
    return model.project_table(config, params)


@partial(jax.jit, static_argnums=0)
def _block(
    config: ModelConfig,
    params: Params,
    projected: Array | None,
    keys: Key,
    choice: tuple[Array, Array, Array],
    carry: Carry,
    tokens: Array,
    forced: Array,
    start: Array,
) -> tuple[tuple[Carry, Array], Array]:
    """`_BLOCK` steps: the carry and last tokens `[samples]`, and all the new tokens `[samples, _BLOCK]`."""

    def step(state: tuple[Carry, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Carry, Array], Array]:
        carry, tokens = state
        forced_id, position = inputs
        carry, logits = model.step(config, params, projected, carry, tokens)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
        drawn = jax.vmap(_draw, (0, 0, None))(step_keys, logits, choice)
        tokens = jnp.where(forced_id == _FREE, drawn, forced_id)
        return (carry, tokens), tokens

    positions = start + jnp.arange(_BLOCK, dtype=jnp.int32)
    state, new = jax.lax.scan(step, (carry, tokens), (forced, positions))
    return state, new.T


def _draw(key: Key, logits: Array, choice: tuple[Array, Array, Array]) -> Array:
    """One id from logits `[vocabulary]`: greedy at temperature 0, else from the truncated distribution."""
    temperature, top_k, top_p = choice
    # A temperature too small for a float32 is none. The likeliest is shifted to 0: no quotient overflows upwards.
    is_greedy = temperature < np.finfo(np.float32).tiny.item()
    shifted = logits.astype(jnp.float32) - logits.max().astype(jnp.float32)
    scaled = shifted / jnp.where(is_greedy, 1, temperature)
    descending = jnp.sort(scaled, descending=True)
    # The smallest logit that top_k lets through, then the smallest of the shortest head that reaches top_p.
    ranks = jnp.arange(logits.shape[-1], dtype=jnp.int32)
    probabilities = jax.nn.softmax(jnp.where(ranks < top_k, descending, -jnp.inf))
    before = jnp.cumsum(probabilities) - probabilities  # the probability of all that are likelier
    kept = (ranks < top_k) & ((before < top_p) | (ranks == 0))
    least = jnp.min(jnp.where(kept, descending, jnp.inf))
    # Equal logits at the border all stay: the choice does not depend on the order of the vocabulary.
    drawn = jax.random.categorical(key, jnp.where(scaled >= least, scaled, -jnp.inf))
    return jnp.where(is_greedy, jnp.argmax(logits), drawn).astype(jnp.int32)
