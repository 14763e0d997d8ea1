"""Dynamic evaluation against the NumPy model."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from jaxrnn import reference
from jaxrnn.config import DenseConfig, DropoutConfig, EmbeddingConfig, GRUConfig, LSTMConfig, ModelConfig
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.evaluation import dynamic
from jaxrnn.evaluation.dynamic import EPSILON, Rates, gradient_rms, score_dynamic, tune
from jaxrnn.evaluation.scoring import score_stateful
from jaxrnn.models import stack
from jaxrnn.reference.optimizer import map_leaves

VOCABULARY = 5
CONFIG = ModelConfig(
    layers=(EmbeddingConfig(size=3), LSTMConfig(size=4), DropoutConfig(rate=0.5), DenseConfig())
)
GRU = ModelConfig(layers=(EmbeddingConfig(size=3), GRUConfig(size=4), DenseConfig()))


def init(config: ModelConfig):
    return jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(0), config, VOCABULARY))


PARAMS = init(CONFIG)


def text(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, length).astype(np.uint8)


def source(ids: np.ndarray, separator: str = "") -> TokenSource:
    return in_memory(Vocabulary("abcde", separator=separator), ids)


def segments(ids: np.ndarray, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets of each segment, `[1, length]`; the last may be shorter."""
    starts = range(0, len(ids) - 1, length)
    return [
        (ids[None, i : i + length][:, : len(ids) - 1 - i], ids[None, i + 1 : i + length + 1]) for i in starts
    ]


def slow_rms(config: ModelConfig, streams: np.ndarray, length: int, separator_id: int | None = None):
    """The root mean square over segments of the gradients summed over `streams` `[rows, characters]`."""
    params = jax.device_get(init(config))
    squares = map_leaves(np.zeros_like, params)
    carries = [reference.initial_carry(config.layers, params, 1) for _ in streams]
    pieces = [segments(stream, length) for stream in streams]
    for k in range(len(pieces[0])):
        total = map_leaves(np.zeros_like, params)
        for row, piece in enumerate(pieces):
            _, gradients, carries[row] = reference.loss_and_gradients(
                config.layers, params, carries[row], *piece[k], resets=piece[k][0] == separator_id
            )
            total = map_leaves(np.add, total, gradients)
        squares = map_leaves(lambda s, g: s + g**2 / len(streams), squares, total)
    return map_leaves(lambda s: np.sqrt(s / len(pieces[0])), squares)


def slow_nats(
    config: ModelConfig, rms, ids: np.ndarray, rates: Rates, length: int, separator_id: int | None
) -> np.ndarray:
    first = params = jax.device_get(init(config))
    carry = reference.initial_carry(config.layers, params, 1)
    mean = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(rms)]).mean()
    nats = []
    for tokens, targets in segments(ids, length):
        resets = tokens == separator_id
        _, logits, _ = reference.model_forward(config.layers, params, carry, tokens, resets=resets)
        losses, _ = reference.softmax_cross_entropy_forward(logits, targets)
        nats.extend(losses[0])
        _, gradients, carry = reference.loss_and_gradients(
            config.layers, params, carry, tokens, targets, resets=resets
        )
        params = map_leaves(
            lambda p, p0, g, r: (
                p + np.minimum(rates.decay * r / mean, 1) * (p0 - p) - rates.rate * g / (r + EPSILON * mean)
            ),
            params,
            first,
            gradients,
            rms,
        )
    return np.array(nats)


LENGTHS = [(2, 5), (6, 5), (64, 5), (64, 1), (50, 7), (9, 20)]


@pytest.mark.parametrize(
    ("config", "length", "segment", "separator"),
    [*((CONFIG, *sizes, "") for sizes in LENGTHS), (GRU, 64, 5, ""), (GRU, 64, 5, "d")],
)
def test_each_segment_is_scored_before_the_update(
    monkeypatch, config, length: int, segment: int, separator: str
) -> None:
    monkeypatch.setattr(dynamic, "_BLOCK", 3)  # so that weights are carried across calls
    ids, rates = (
        text(length),
        Rates(rate=0.02, decay=0.6),
    )  # a decay that fully restores some weights
    tokens = source(ids, separator)
    separator_id = tokens.vocabulary.separator_id
    rms = slow_rms(config, text(101, seed=1)[None], segment, separator_id)
    nats = slow_nats(config, rms, ids, rates, segment, separator_id)
    params = init(config)
    as_ours = jax.tree.unflatten(
        jax.tree.structure(params), [x.astype(np.float32) for x in jax.tree.leaves(rms)]
    )
    scores = score_dynamic(config, params, tokens, as_ours, rates, segment)
    assert scores.nll.shape == scores.ranks.shape == (length - 1,)
    np.testing.assert_allclose(scores.nll, nats, rtol=1e-3, atol=1e-4)
    if length > 2 * segment:
        assert abs(nats - slow_nats(config, rms, ids, Rates(0, 0), segment, separator_id)).max() > 0.01


def test_the_statistics_use_streams_spread_over_the_text() -> None:
    ids = text(241, seed=1)  # 240 predictions: 12 streams of 20 tokens, 4 segments of 5 each
    streams = np.stack([ids[k * 20 : k * 20 + 21] for k in range(12)])
    expected = jax.tree.leaves(slow_rms(CONFIG, streams, 5))
    for leaf, oracle in zip(
        jax.tree.leaves(gradient_rms(CONFIG, PARAMS, source(ids), 5)), expected, strict=True
    ):
        np.testing.assert_allclose(leaf, oracle, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("length", [2, 3, 6, 22])
def test_a_short_text_has_statistics_too(length: int) -> None:
    for leaf in jax.tree.leaves(gradient_rms(CONFIG, PARAMS, source(text(length)), 5)):
        assert np.isfinite(leaf).all()


def test_a_rate_of_zero_equals_stateful_and_parameters_are_unchanged() -> None:
    ids = source(text(203))
    before = jax.tree.map(np.array, PARAMS)
    rms = gradient_rms(CONFIG, PARAMS, ids)
    stateful = score_stateful(CONFIG, PARAMS, ids)
    scores = score_dynamic(CONFIG, PARAMS, ids, rms, Rates(0.0, 0.1))
    np.testing.assert_allclose(scores.nll, stateful.nll, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scores.ranks, stateful.ranks)
    score_dynamic(CONFIG, PARAMS, ids, rms, Rates(0.1, 0.1))
    jax.tree.map(np.testing.assert_array_equal, PARAMS, before)


def test_scores_do_not_depend_on_later_characters() -> None:
    ids = text(60)
    other = np.concatenate([ids[:31], (ids[31:] + 1) % VOCABULARY])
    rms = gradient_rms(CONFIG, PARAMS, source(ids))
    one, two = (score_dynamic(CONFIG, PARAMS, source(i), rms, Rates(0.1, 0.0)).nll for i in (ids, other))
    np.testing.assert_array_equal(one[:30], two[:30])
    assert (one[30:] != two[30:]).all()


def test_adaptation_helps_on_a_repeating_text_and_tuning_selects_it() -> None:
    train_ids, ids = source(np.tile(text(20), 40)), source(np.tile(text(20, seed=3), 40))
    rms = gradient_rms(CONFIG, PARAMS, train_ids)
    told = []
    trials = tune(CONFIG, PARAMS, train_ids, rms, on_progress=lambda *args: told.append(args))
    assert len(trials) == len(dynamic.RATES) + len(dynamic.DECAYS) - 1 == len(told)
    assert [trial.nll for trial in trials] == sorted(trial.nll for trial in trials)
    adapted = score_dynamic(CONFIG, PARAMS, ids, rms, trials[0].rates).nll.mean()
    assert adapted < score_stateful(CONFIG, PARAMS, ids).nll.mean() - 0.01


def test_rates_are_selected_on_the_end_of_the_training_split(monkeypatch) -> None:
    monkeypatch.setattr(dynamic, "_TUNING", 100)
    rms = gradient_rms(CONFIG, PARAMS, source(text(500)))
    one = tune(CONFIG, PARAMS, source(text(500)), rms)
    two = tune(CONFIG, PARAMS, source(np.concatenate([text(300, seed=5), text(500)[-101:]])), rms)
    assert one == two
    expected = score_dynamic(CONFIG, PARAMS, source(text(500)[-101:]), rms, one[0].rates).nll
    assert one[0].nll == pytest.approx(expected.mean(dtype=np.float64))


def test_diverging_weights_have_an_infinite_loss(monkeypatch) -> None:
    monkeypatch.setattr(dynamic, "RATES", (1e-3, 1e38))
    ids = source(text(300))
    trials = tune(CONFIG, PARAMS, ids, gradient_rms(CONFIG, PARAMS, ids))
    assert trials[0].rates.rate == 1e-3
    assert trials[-1].nll == np.inf


def test_a_text_without_predictions_is_refused() -> None:
    rms = gradient_rms(CONFIG, PARAMS, source(text(9)))
    with pytest.raises(ValueError, match="tokens must be at least 2, the first is only read; got 1"):
        score_dynamic(CONFIG, PARAMS, source(text(1)), rms, Rates(0.1, 0.1))
    with pytest.raises(ValueError, match="tokens must be at least 2, the first is only read; got 0"):
        gradient_rms(CONFIG, PARAMS, source(text(0)))
    with pytest.raises(ValueError, match="segment must be at least 1, got 0"):
        score_dynamic(CONFIG, PARAMS, source(text(9)), rms, Rates(0.1, 0.1), segment=0)


def test_vanishing_gradients_of_a_repeated_character_do_not_diverge() -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=3), LSTMConfig(size=4), DenseConfig()))
    params = stack.init(jax.random.key(0), config, 1)
    tokens = in_memory(Vocabulary("a"), np.zeros(50, np.uint8))
    rms = gradient_rms(config, params, tokens, 5)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(rms))
    for rates in (Rates(0, 0), Rates(1e-3, 1e-2)):
        np.testing.assert_array_equal(score_dynamic(config, params, tokens, rms, rates, 5).nll, 0)


def test_chunking_for_a_large_vocabulary_does_not_change_the_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size, rows, segment = 500, 3, 120
    params = stack.init(jax.random.key(0), GRU, size)
    ids = np.random.default_rng(0).integers(0, size, (rows, segment + 1)).astype(np.int32)
    given = (params, stack.initial_carry(GRU, params, rows), ids[:, :-1], ids[:, 1:])
    found, bytes_used = [], []
    for most in (stack.MOST_LOGITS, size * rows * 7):  # chunks of at most 7 tokens, here 6
        monkeypatch.setattr(stack, "MOST_LOGITS", most)
        compiled = jax.jit(partial(dynamic._segment_gradient, GRU, 3)).lower(*given).compile()
        found.append(jax.tree.leaves(compiled(*given)))
        memory: Any = compiled.memory_analysis()
        bytes_used.append(memory.temp_size_in_bytes)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert bytes_used[1] < bytes_used[0] / 5
