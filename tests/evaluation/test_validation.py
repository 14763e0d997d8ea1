"""Held-out loss: what a single stream would say, however the text is laid out."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.evaluation import validation
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack

CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(0), CONFIG, 5))


def text(length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, length).astype(np.uint8)


@cache
def losses(length: int) -> np.ndarray:
    """Of each character of `text(length)` but the first, read as one stream."""
    tokens = jnp.asarray(text(length), jnp.int32)[None]
    apply = jax.jit(stack.apply, static_argnums=0)
    _, logits = apply(CONFIG, PARAMS, stack.initial_carry(CONFIG, PARAMS, 1), tokens[:, :-1])
    return np.asarray(softmax_cross_entropy(logits, tokens[:, 1:])[0])


def single_stream(ids: np.ndarray) -> float:
    """The mean loss of a text that begins as `text` does."""
    longest = 5003
    np.testing.assert_array_equal(ids, text(longest)[: len(ids)])
    return float(losses(longest)[: len(ids) - 1].mean(dtype=np.float64))


@pytest.mark.parametrize("length", [2, 3, 255, 256, 257, 258, 700])
def test_as_one_segment_it_is_the_loss_of_a_single_stream(length: int) -> None:
    ids = text(length)
    loss = validation.evaluate(CONFIG, PARAMS, validation.segment(ids, max_segments=1))
    assert loss == pytest.approx(single_stream(ids), rel=1e-5)


@pytest.mark.parametrize("length", [3000, 5003])
def test_as_many_segments_it_is_the_same_but_for_a_little(length: int) -> None:
    ids = text(length)
    segments = validation.segment(ids)
    assert segments[0].shape[0] > 1
    assert validation.evaluate(CONFIG, PARAMS, segments) == pytest.approx(single_stream(ids), rel=1e-5)


def test_every_character_but_the_first_is_scored_once() -> None:
    ids = np.arange(4001) % 251
    _, _, targets, weights = validation.segment(ids)
    scored = np.asarray(targets)[np.asarray(weights) == 1]
    np.testing.assert_array_equal(np.bincount(scored, minlength=251), np.bincount(ids[1:], minlength=251))


def test_a_segment_first_reads_what_stands_before_it() -> None:
    ids = np.arange(4001)
    warm_up, inputs, _, _ = map(np.asarray, validation.segment(ids))
    np.testing.assert_array_equal(warm_up[1:, -1] + 1, inputs[0, 1:, 0])
    assert warm_up.shape[1] == validation.WARM_UP


def test_one_character_has_nothing_to_predict() -> None:
    with pytest.raises(ValueError, match="a text of 1 characters has nothing to predict"):
        validation.segment(text(1))


def test_a_long_text_is_read_in_pieces_and_costs_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = text(20_000)
    expected = validation.evaluate(CONFIG, PARAMS, validation.segment(ids))
    monkeypatch.setattr(validation, "_ON_DEVICE", 100)
    monkeypatch.setattr(validation, "_PIECE", 3)
    pieces = validation.lay_out(ids)
    assert isinstance(pieces, validation.Pieces)
    assert validation.evaluate(CONFIG, PARAMS, pieces) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("limit", [1, 100, 1000, 5000])
def test_a_limit_scores_stretches_spread_over_the_text(limit: int) -> None:
    ids = np.arange(4097) % 251
    warm_up, inputs, targets, weights = (np.asarray(part) for part in validation.segment(ids, limit=limit))
    segments = warm_up.shape[0]
    assert segments == 8
    scored = np.flatnonzero(weights.swapaxes(0, 1).reshape(segments, -1)[0])
    assert limit <= weights.sum() < limit + segments or weights.sum() == ids.size - 1
    for row in range(segments):
        start = row * 512
        read = inputs.swapaxes(0, 1).reshape(segments, -1)[row, scored]
        np.testing.assert_array_equal(read, ids[start : start + scored.size])
        expected = targets.swapaxes(0, 1).reshape(segments, -1)[row, scored]
        np.testing.assert_array_equal(expected, ids[start + 1 : start + 1 + scored.size])
