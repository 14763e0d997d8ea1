"""Dynamic evaluation against the NumPy model, segment by segment."""

import jax
import numpy as np
import pytest

from jaxrnn import model, reference
from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.dynamic import SEGMENT, Rates, root_mean_square, score_dynamic, tune
from jaxrnn.gradients import to_reference
from jaxrnn.reference.optimizer import map_leaves
from jaxrnn.scoring import score_stateful

VOCABULARY = 5
CONFIG = ModelConfig(layers=(EmbeddingConfig(size=3), LSTMConfig(size=4), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, model.init(jax.random.key(0), CONFIG, VOCABULARY))


def text(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, length).astype(np.uint8)


def segments(ids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = ids[:-1], ids[1:]
    return [
        (pairs[0][None, i : i + SEGMENT], pairs[1][None, i : i + SEGMENT])
        for i in range(0, len(pairs[0]), SEGMENT)
    ]


def slow_rms(ids: np.ndarray):
    params = to_reference(PARAMS)
    carry = reference.initial_carry(CONFIG.layers, params, 1)
    squares = map_leaves(np.zeros_like, params)
    for tokens, targets in segments(ids):
        _, gradients, carry = reference.loss_and_gradients(CONFIG.layers, params, carry, tokens, targets)
        squares = map_leaves(lambda s, g: s + g**2, squares, gradients)
    return map_leaves(lambda s: np.sqrt(s / len(segments(ids))), squares)


def slow_nats(rms, ids: np.ndarray, rates: Rates) -> np.ndarray:
    first = params = to_reference(PARAMS)
    carry = reference.initial_carry(CONFIG.layers, params, 1)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(rms)])
    nats = []
    for tokens, targets in segments(ids):
        _, logits, _ = reference.model_forward(CONFIG.layers, params, carry, tokens)
        losses, _ = reference.softmax_cross_entropy_forward(logits, targets)
        nats.extend(losses[0])
        _, gradients, carry = reference.loss_and_gradients(CONFIG.layers, params, carry, tokens, targets)
        params = map_leaves(
            lambda p, g, r, p0: (
                p - rates.rate * g / (r + 1e-6) + np.minimum(rates.decay * r / flat.mean(), 1) * (p0 - p)
            ),
            params,
            gradients,
            rms,
            first,
        )
    return np.array(nats)


@pytest.mark.parametrize("length", [2, 6, 64])
def test_it_is_score_then_learn_segment_by_segment(length: int) -> None:
    trained_on, ids, rates = text(101, seed=1), text(length), Rates(rate=0.01, decay=0.1)
    rms = root_mean_square(CONFIG, PARAMS, trained_on)
    expected_rms = slow_rms(trained_on)
    for leaf, expected in zip(jax.tree.leaves(rms), jax.tree.leaves(expected_rms), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-3, atol=1e-6)
    scores = score_dynamic(CONFIG, PARAMS, rms, ids, rates)
    np.testing.assert_allclose(scores.nats, slow_nats(expected_rms, ids, rates), rtol=1e-3, atol=1e-4)


def test_at_a_rate_of_zero_it_is_stateful() -> None:
    ids = text(203)
    rms = root_mean_square(CONFIG, PARAMS, ids)
    scores, stateful = (
        score_dynamic(CONFIG, PARAMS, rms, ids, Rates(0.0, 0.1)),
        score_stateful(CONFIG, PARAMS, ids),
    )
    np.testing.assert_allclose(scores.nats, stateful.nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, stateful.ranks)


def test_no_character_is_scored_with_what_comes_after_it() -> None:
    ids = text(60)
    other = np.concatenate([ids[:31], (ids[31:] + 1) % VOCABULARY])
    rms = root_mean_square(CONFIG, PARAMS, ids)
    one, two = (score_dynamic(CONFIG, PARAMS, rms, i, Rates(0.1, 0.0)).nats for i in (ids, other))
    np.testing.assert_array_equal(one[:30], two[:30])
    assert (one[30:] != two[30:]).all()


def test_on_a_text_that_repeats_itself_adapting_pays_and_tuning_finds_that_out() -> None:
    ids = np.tile(text(20), 40)
    rates, rms = tune(CONFIG, PARAMS, ids)
    adapted = score_dynamic(CONFIG, PARAMS, rms, ids, rates).nats.mean()
    assert adapted < score_stateful(CONFIG, PARAMS, ids).nats.mean() - 0.01
