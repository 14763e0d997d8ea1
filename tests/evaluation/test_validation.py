"""The validation loss equals that of a single stream."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.evaluation import validation
from jaxrnn.evaluation.scoring import score_stateful
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack

CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(0), CONFIG, 5))


def text(length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, length).astype(np.uint8)


def source(ids: np.ndarray) -> TokenSource:
    return in_memory(Vocabulary("abcde"), ids)


def whole(segments: validation.Segments) -> tuple[np.ndarray, ...]:
    """Inputs, targets and weights of all chunks of the segments, `[segments, tokens]` each."""
    parts = zip(*segments.pieces(), strict=True)
    chunks = (np.concatenate([np.asarray(piece) for piece in part]) for part in parts)
    return tuple(part.swapaxes(0, 1).reshape(part.shape[1], -1) for part in chunks)


@cache
def losses(length: int) -> np.ndarray:
    """The loss of each character of `text(length)` after the first, read as one stream."""
    tokens = jnp.asarray(text(length), jnp.int32)[None]
    apply = jax.jit(stack.apply, static_argnums=0)
    _, logits = apply(CONFIG, PARAMS, stack.initial_carry(CONFIG, PARAMS, 1), tokens[:, :-1])
    return np.asarray(softmax_cross_entropy(logits, tokens[:, 1:])[0])


def single_stream(ids: np.ndarray) -> float:
    """The mean loss of the first `length` characters of `text`, read as one stream."""
    longest = 5003
    np.testing.assert_array_equal(ids, text(longest)[: len(ids)])
    return float(losses(longest)[: len(ids) - 1].mean(dtype=np.float64))


@pytest.mark.parametrize("length", [2, 3, 255, 256, 257, 258, 700])
def test_one_segment_equals_a_single_stream(length: int) -> None:
    ids = text(length)
    loss = validation.evaluate(CONFIG, PARAMS, validation.segment(source(ids), max_segments=1))
    assert loss == pytest.approx(single_stream(ids), rel=1e-5)


@pytest.mark.parametrize("length", [3000, 5003])
def test_many_segments_are_close_to_a_single_stream(length: int) -> None:
    ids = text(length)
    segments = validation.segment(source(ids))
    assert segments.warm_up.shape[0] > 1
    assert validation.evaluate(CONFIG, PARAMS, segments) == pytest.approx(single_stream(ids), rel=1e-5)


def test_every_token_after_the_first_is_scored_once() -> None:
    ids = np.arange(4001) % 251
    _, targets, weights = whole(validation.segment(source(ids)))
    scored = targets[weights == 1]
    np.testing.assert_array_equal(np.bincount(scored, minlength=251), np.bincount(ids[1:], minlength=251))


def test_a_segment_is_warmed_up_on_the_tokens_before_it() -> None:
    segments = validation.segment(source(np.arange(4001)))
    warm_up, (inputs, _, _) = np.asarray(segments.warm_up), whole(segments)
    np.testing.assert_array_equal(warm_up[1:, -1] + 1, inputs[1:, 0])
    assert warm_up.shape[1] == validation.WARM_UP


def test_one_token_has_nothing_to_predict() -> None:
    with pytest.raises(ValueError, match="tokens must be at least 2, the first is only read; got 1"):
        validation.segment(source(text(1)))


def test_reading_a_long_corpus_in_pieces_does_not_change_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = source(text(20_000))
    expected = validation.evaluate(CONFIG, PARAMS, validation.segment(tokens))
    monkeypatch.setattr(validation, "_ON_DEVICE", 100)
    monkeypatch.setattr(validation, "_PIECE", 2)
    segments = validation.segment(tokens)
    assert len(list(segments.pieces())) > 1
    for _ in range(2):  # each pass reads the corpus again
        assert validation.evaluate(CONFIG, PARAMS, segments) == pytest.approx(expected, rel=1e-6)
    scores = score_stateful(CONFIG, PARAMS, tokens)
    assert scores.nll.size == 19_999
    assert scores.mean_nll == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("limit", [1, 100, 1000, 5000])
def test_a_limit_scores_pieces_spread_over_the_corpus(limit: int) -> None:
    ids = np.arange(4097) % 251
    segments = validation.segment(source(ids), limit=limit)
    inputs, targets, weights = whole(segments)
    assert len(inputs) == 8
    assert limit <= weights.sum() < limit + 8 or weights.sum() == ids.size - 1
    length = int(weights[0].sum())
    assert length == segments.length
    for row in range(8):
        start = row * 512
        np.testing.assert_array_equal(inputs[row, :length], ids[start : start + length])
        np.testing.assert_array_equal(targets[row, :length], ids[start + 1 : start + 1 + length])


def test_shorter_chunks_for_a_large_vocabulary_do_not_change_the_loss(monkeypatch) -> None:
    ids = text(3000)
    loss = validation.evaluate(CONFIG, PARAMS, validation.segment(source(ids)))
    monkeypatch.setattr(stack, "MOST_LOGITS", 5 * 5 * 7)  # for a vocabulary of 5 and 5 segments
    segments = validation.segment(source(ids))
    for inputs, _, _ in segments.pieces():
        assert inputs.shape[1:] == (5, 7)
    assert validation.evaluate(CONFIG, PARAMS, segments) == pytest.approx(loss, rel=1e-6)
