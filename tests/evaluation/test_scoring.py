"""Each protocol against the NumPy model, one character at a time."""

import itertools
import math

import jax
import numpy as np
import pytest

from jaxrnn import reference
from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import VocabularyError
from jaxrnn.evaluation import scoring, validation
from jaxrnn.evaluation.scoring import Scores, score, score_stateful, score_windows
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel

VOCABULARY = 5
CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(0), CONFIG, VOCABULARY))


def text(length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, length).astype(np.uint8)


def source(ids: np.ndarray, separator: str = "") -> TokenSource:
    return in_memory(Vocabulary("abcde", separator=separator), ids)


def slow(ids: np.ndarray, window: int, separator_id: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """NLL and rank of every character after the first; the state is reset every `window` characters."""
    params = jax.device_get(PARAMS)
    nats, ranks = [], []
    carry = None
    for position, (character, successor) in enumerate(itertools.pairwise(ids)):
        if position % window == 0:
            carry = reference.initial_carry(CONFIG.layers, params, 1)
        assert carry is not None
        token = np.array([[character]])
        resets = token == separator_id
        carry, logits, _ = reference.model_forward(CONFIG.layers, params, carry, token, resets=resets)
        probabilities = np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
        nats.append(-np.log(probabilities[successor]))
        ranks.append(sorted(probabilities, reverse=True).index(probabilities[successor]) + 1)
    return np.array(nats), np.array(ranks)


@pytest.mark.parametrize("length", [2, 3, 700])
def test_stateful_equals_one_sequential_pass(length: int) -> None:
    ids = text(length)
    nats, ranks = slow(ids, window=length)
    scores = score_stateful(CONFIG, PARAMS, source(ids))
    np.testing.assert_allclose(scores.nll, nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, ranks)


def test_every_protocol_resets_the_state_at_a_separator() -> None:
    ids = text(1201)
    documents = source(ids, separator="d")
    assert validation.segment(documents).warm_up.shape[0] > 1
    nats, ranks = slow(ids, window=1201, separator_id=3)
    scores = score_stateful(CONFIG, PARAMS, documents)
    np.testing.assert_allclose(scores.nll, nats, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(scores.ranks, ranks)
    loss = validation.evaluate(CONFIG, PARAMS, validation.segment(documents))
    assert loss == pytest.approx(nats.mean(), rel=1e-5)
    assert abs(nats - slow(ids, window=1201)[0]).max() > 0.01
    windows = score_windows(CONFIG, PARAMS, source(ids[:300], separator="d"), 7)
    np.testing.assert_allclose(windows.nll, slow(ids[:300], 7, separator_id=3)[0], rtol=1e-4, atol=1e-5)


def test_stateful_equals_the_validation_loss_of_training() -> None:
    ids = text(3001)
    scores = score_stateful(CONFIG, PARAMS, source(ids))
    assert scores.nll.shape == scores.ranks.shape == (3000,)
    assert scores.nll.mean() == pytest.approx(
        validation.evaluate(CONFIG, PARAMS, validation.segment(source(ids))), rel=1e-5
    )
    np.testing.assert_allclose(scores.nll, slow(ids, window=3001)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("length", "window"), [(2, 256), (300, 7), (300, 299), (300, 300), (300, 1), (1000, 3)]
)
def test_windows_start_from_a_zero_state_and_the_last_one_is_scored(length: int, window: int) -> None:
    ids = text(length)
    nats, ranks = slow(ids, window)
    scores = score_windows(CONFIG, PARAMS, source(ids), window)
    np.testing.assert_allclose(scores.nll, nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, ranks)


@pytest.mark.parametrize("rows", [1, 2, 64])
def test_the_layout_of_windows_does_not_change_scores(monkeypatch, rows: int) -> None:
    ids = text(700)
    nats, ranks = slow(ids, window=150)
    monkeypatch.setattr(scoring, "_CHUNK", 40)  # so that a window is read in 4 pieces, the last one padded
    monkeypatch.setattr(scoring, "_ROWS", rows)
    scores = score_windows(CONFIG, PARAMS, source(ids), 150)
    np.testing.assert_allclose(scores.nll, nats, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, ranks)


def test_scores_have_every_unit() -> None:
    scores = Scores(np.array([1, 2, 6], np.float32), np.array([1, 1, 4], np.int32))
    assert scores.mean_nll == pytest.approx(3)
    assert scores.bits_per_token == pytest.approx(3 / math.log(2))
    assert scores.perplexity == pytest.approx(math.exp(3))
    assert scores.top1_accuracy == pytest.approx(2 / 3)
    assert Scores(np.array([800.0]), np.array([2])).perplexity == math.inf


def test_score_supports_both_protocols() -> None:
    model = LanguageModel(CONFIG, PARAMS, Vocabulary("abcde"))
    ids = source(np.array([2, 0, 1, 4, 3, 1], np.uint8))
    np.testing.assert_array_equal(score(model, "cabedb").nll, score_stateful(CONFIG, PARAMS, ids).nll)
    windows = score(model, "cabedb", protocol="windows", window=2)
    np.testing.assert_array_equal(windows.nll, score_windows(CONFIG, PARAMS, ids, 2).nll)
    with pytest.raises(VocabularyError, match="'x'"):
        score(model, "abx")
    with pytest.raises(ValueError, match="protocol"):
        score(model, "ab", protocol="dynamic")  # type: ignore[arg-type]


def test_a_text_without_predictions_is_refused() -> None:
    one = source(text(1))
    for score_text in (
        lambda: score_stateful(CONFIG, PARAMS, one),
        lambda: score_windows(CONFIG, PARAMS, one, 256),
    ):
        with pytest.raises(ValueError, match="tokens must be at least 2, the first is only read; got 1"):
            score_text()
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        score_windows(CONFIG, PARAMS, source(text(9)), 0)
