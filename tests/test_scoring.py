"""Each protocol against an obvious and slow one: the NumPy model, one character at a time."""

import itertools

import jax
import numpy as np
import pytest

from jaxrnn import evaluation, model, reference
from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.gradients import to_reference
from jaxrnn.scoring import score_stateful, score_windows

VOCABULARY = 5
CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, model.init(jax.random.key(0), CONFIG, VOCABULARY))


def text(length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, length).astype(np.uint8)


def slow(ids: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats and ranks of every character but the first, the state zero again after every `window` characters."""
    params = to_reference(PARAMS)
    nats, ranks = [], []
    carry = None
    for position, (character, successor) in enumerate(itertools.pairwise(ids)):
        if position % window == 0:
            carry = reference.initial_carry(CONFIG.layers, params, 1)
        assert carry is not None
        carry, logits, _ = reference.model_forward(CONFIG.layers, params, carry, np.array([[character]]))
        probabilities = np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
        nats.append(-np.log(probabilities[successor]))
        ranks.append(sorted(probabilities, reverse=True).index(probabilities[successor]) + 1)
    return np.array(nats), np.array(ranks)


@pytest.mark.parametrize("length", [2, 3, 700])
def test_stateful_is_one_pass_character_by_character(length: int) -> None:
    ids = text(length)
    nats, ranks = slow(ids, window=length)
    scores = score_stateful(CONFIG, PARAMS, ids)
    np.testing.assert_allclose(scores.nats, nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, ranks)


def test_stateful_is_what_training_measures_and_in_the_order_of_the_text() -> None:
    ids = text(3001)
    scores = score_stateful(CONFIG, PARAMS, ids)
    assert scores.nats.shape == scores.ranks.shape == (3000,)
    assert scores.nats.mean() == pytest.approx(
        evaluation.evaluate(CONFIG, PARAMS, evaluation.segment(ids)), rel=1e-5
    )
    np.testing.assert_allclose(scores.nats, slow(ids, window=3001)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "window"), [(2, 256), (300, 7), (300, 299), (300, 300), (300, 1), (1000, 3)]
)
def test_windows_begin_from_a_zero_state_and_the_last_one_is_scored_too(length: int, window: int) -> None:
    ids = text(length)
    nats, ranks = slow(ids, window)
    scores = score_windows(CONFIG, PARAMS, ids, window)
    np.testing.assert_allclose(scores.nats, nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, ranks)


def test_nothing_to_predict_is_refused() -> None:
    for score in (
        lambda: score_stateful(CONFIG, PARAMS, text(1)),
        lambda: score_windows(CONFIG, PARAMS, text(1), 256),
        lambda: score_windows(CONFIG, PARAMS, text(9), 0),
    ):
        with pytest.raises(ValueError, match="to predict"):
            score()
