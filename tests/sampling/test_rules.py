"""Sampling options: draws against the distribution that each option and their combinations define."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammainc

from jaxrnn.config import DenseConfig, EmbeddingConfig, GRUConfig, ModelConfig
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.sampling import generation

VOCABULARY = 12
CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), GRUConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(2), CONFIG, VOCABULARY))
PROMPT = np.array([3, 1, 4, 1, 5, 9], np.uint8)
DRAWS = 20_000

# The definitions in float64, applied in order to logits `[vocabulary]`; -inf is never drawn.


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def repetition_penalty(logits: np.ndarray, penalty: float, ids: np.ndarray = PROMPT) -> np.ndarray:
    occurred = np.isin(np.arange(VOCABULARY), ids)
    return np.where(occurred, np.where(logits > 0, logits / penalty, logits * penalty), logits)


def temperature(logits: np.ndarray, divisor: float) -> np.ndarray:
    return logits / divisor


def keep(logits: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.where(np.isin(np.arange(VOCABULARY), kept), logits, -np.inf)


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    return keep(logits, np.argsort(-logits)[:k])


def top_p(logits: np.ndarray, p: float) -> np.ndarray:
    order = np.argsort(-logits)
    fewest = np.searchsorted(np.cumsum(softmax(logits)[order]), p) + 1
    return keep(logits, order[:fewest])


def min_p(logits: np.ndarray, share: float) -> np.ndarray:
    probabilities = softmax(logits)
    return keep(logits, np.flatnonzero(probabilities >= share * probabilities.max()))


ORDER: Sequence[Callable[..., np.ndarray]] = (repetition_penalty, temperature, top_k, top_p, min_p)


@cache
def logits_after_prompt() -> np.ndarray:
    tokens = jnp.asarray(PROMPT, jnp.int32)[None]
    _, logits = stack.apply(CONFIG, PARAMS, stack.initial_carry(CONFIG, PARAMS, 1), tokens)
    return np.asarray(logits[0, -1], np.float64)


def distribution(options: dict[str, Any], order: Sequence[Callable[..., np.ndarray]] = ORDER) -> np.ndarray:
    logits = logits_after_prompt()
    for rule in order:
        if rule.__name__ in options:
            logits = rule(logits, options[rule.__name__])
    return softmax(logits)


@pytest.fixture(scope="module")
def draw() -> Iterator[Callable[[dict[str, Any]], np.ndarray]]:
    """Count how often each token is drawn after the prompt: many samples in one tile, compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "_rows", lambda _: DRAWS)
        patch.setattr(generation, "_BLOCK", 1)

        def counts(options: dict[str, Any]) -> np.ndarray:
            blocks = generation.sample(
                CONFIG, PARAMS, PROMPT, length=1, num_samples=DRAWS, rng_seed=1, **options
            )
            return np.bincount(np.concatenate([block.ids[:, 0] for block in blocks]), minlength=VOCABULARY)

        yield counts


def p_value(counts: np.ndarray, expected: np.ndarray) -> float:
    """The p-value of Pearson's chi-square test of counts against a distribution."""
    possible = expected > 0
    if counts[~possible].any():
        return 0.0
    mean = counts.sum() * expected[possible]
    statistic = ((counts[possible] - mean) ** 2 / mean).sum()
    return float(1 - gammainc(max(1, possible.sum() - 1) / 2, statistic / 2))


COMBINATIONS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.7, "temperature": 1.6, "top_k": 7, "top_p": 0.67, "min_p": 0.29},
    {"repetition_penalty": 2.3, "temperature": 0.9, "top_k": 6, "top_p": 0.81, "min_p": 0.12},
    {"repetition_penalty": 3.0, "top_k": 3},
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_p": 0.69},
        {"top_p": 0.72},
        {"min_p": 0.4},
        {"min_p": 0.235},
        {"repetition_penalty": 1.5},
        *COMBINATIONS,
    ],
    ids=str,
)
def test_tokens_are_drawn_from_the_defined_distribution(draw, options: dict[str, Any]) -> None:
    counts, defined = draw(options), distribution(options)
    assert p_value(counts, defined) > 1e-3
    # The test detects a missing rule, a value off by 10%, and a different order of rules.
    wrong = [distribution({name: options[name] for name in options if name != other}) for other in options]
    wrong += [distribution({**options, name: options[name] + 1}) for name in options if name == "top_k"]
    numbers = [name for name in options if name != "top_k"]
    wrong += [
        distribution({**options, name: factor * options[name]}) for name in numbers for factor in (0.9, 1.1)
    ]
    wrong += [distribution(options, order) for order in permutations(ORDER)]
    different = [other for other in wrong if np.abs(other - defined).max() > 0.02]
    assert len(different) >= len(options)
    assert [p_value(counts, other) for other in different] == pytest.approx([0.0] * len(different), abs=1e-6)


@pytest.mark.parametrize(("first", "second"), [*combinations(ORDER, 2)])
def test_the_combinations_detect_a_different_order(first, second) -> None:
    swapped = {first: second, second: first}
    order = [swapped.get(rule, rule) for rule in ORDER]
    differ = [
        np.abs(distribution(options, order) - distribution(options)).max() > 0.02 for options in COMBINATIONS
    ]
    # Dividing all logits commutes with the penalty and does not change the k largest.
    commute = {first, second} in ({repetition_penalty, temperature}, {temperature, top_k})
    assert any(differ) == (not commute)


def test_the_penalty_applies_to_tokens_since_the_last_separator() -> None:
    separator, penalty = 7, 1.8
    prompt = np.array([3, 7, 1, 4])
    options: dict[str, Any] = {"length": 60, "temperature": 0.0, "separator_id": separator}
    blocks = generation.sample(CONFIG, PARAMS, prompt, repetition_penalty=penalty, **options)
    ids = np.concatenate([prompt, *(block.ids[0] for block in blocks)])
    assert separator in ids[len(prompt) :]
    tokens = jnp.asarray(ids, jnp.int32)[None]
    carry, resets = stack.initial_carry(CONFIG, PARAMS, 1), find_resets(tokens, separator)
    _, logits = stack.apply(CONFIG, PARAMS, carry, tokens, resets=resets)
    for position in range(len(prompt), len(ids)):
        start = np.flatnonzero(ids[:position] == separator)[-1]
        occurred = ids[start:position]
        penalized = repetition_penalty(np.asarray(logits[0, position - 1], np.float64), penalty, occurred)
        assert penalized.argmax() == ids[position], position
