"""Gradient accumulation: the gradient of one large batch, with separate batches, carries and masks."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import reference
from jaxrnn.config import Config, DenseConfig, DropoutConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.data import batching
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.training.state import TrainState, init_state
from jaxrnn.training.step import update

COUNT = 3


def with_train(config: Config, **values: object) -> Config:
    return replace(config, train=replace(config.train, **values))  # type: ignore[arg-type]


def updated(config: Config, state: TrainState, ids: np.ndarray) -> tuple[TrainState, float]:
    new, loss, _ = jax.jit(update, static_argnums=(0, 1))(config.model, config.train, state, jnp.asarray(ids))
    return new, float(loss)


def test_the_gradient_equals_that_of_one_large_batch_in_numpy(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    config = with_train(config, accumulate_steps=COUNT, stateful=False, max_grad_norm=0.0)
    state = init_state(config, vocabulary.size)._replace(step=jnp.int32(2))
    new, loss = updated(config, state, ids)
    key, _ = jax.random.split(state.key)
    batches = [
        batching.batch(config.train, key, jnp.int32(2 * COUNT + n), jnp.asarray(ids))[:2]
        for n in range(COUNT)
    ]
    inputs, targets = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params)
    carry = reference.initial_carry(config.model.layers, params, len(inputs))
    expected_loss, expected, _ = reference.loss_and_gradients(
        config.model.layers, params, carry, inputs, targets
    )
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    moments = new.opt_state[1].mu  # 0.1 of the gradient after the first update
    for found, wanted in zip(jax.tree.leaves(moments), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found * 10, wanted, rtol=1e-3, atol=1e-6)


def test_it_reads_the_same_batches_as_separate_updates(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    """With a tiny learning rate, 2 updates of 24 batches equal 48 of one, across the end of an epoch."""
    chunks = batching.chunks_per_epoch(config.train, ids.size)
    assert 24 < chunks < 50
    still = with_train(config, learning_rate=1e-30, weight_decay=0.0, reset_rate=0.2)
    state = init_state(still, vocabulary.size)
    together = with_train(still, accumulate_steps=24)
    for step in range(3):
        one, losses = state, []
        for number in range(24 * step, 24 * step + 24):
            one, loss = updated(still, one._replace(step=jnp.int32(number)), ids)
            losses.append(loss)
        state, loss = updated(together, state, ids)
        assert loss == pytest.approx(np.mean(losses), rel=1e-5)
        for found, wanted in zip(jax.tree.leaves(state.carry), jax.tree.leaves(one.carry), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert int(state.step) == int(state.loss_count) == 3


def test_each_batch_and_each_row_has_its_own_dropout_mask(config: Config, vocabulary: Vocabulary) -> None:
    """All rows of all batches are equal, so without dropout their number does not change the loss."""
    same = np.zeros(100, np.uint8)
    for rate, is_alike in ((0.0, True), (0.5, False)):
        layers = (
            EmbeddingConfig(size=5),
            DropoutConfig(rate=rate),
            LSTMConfig(size=4, recurrent_dropout=rate),
            DenseConfig(),
        )
        model = replace(config, model=ModelConfig(layers=layers))
        losses = []
        for count, rows in ((2, 1), (4, 1), (2, 2)):
            each = with_train(model, stateful=False, accumulate_steps=count, batch_size=rows)
            losses.append(updated(each, init_state(each, vocabulary.size), same)[1])
        assert (max(losses) - min(losses) < 1e-5) == is_alike
