"""One update: what it depends on, and what it leaves alone when its numbers are not finite."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.batching import chunks_per_epoch
from jaxrnn.config import Config, DenseConfig, DropoutConfig, EmbeddingConfig, ModelConfig
from jaxrnn.devices import training_mesh
from jaxrnn.train_state import TrainState, init_state
from jaxrnn.updating import MAX_SKIPPED, run_steps, update
from jaxrnn.vocabulary import Vocabulary


def with_train(config: Config, **values: object) -> Config:
    return replace(config, train=replace(config.train, **values))  # type: ignore[arg-type]


def first_loss(config: Config, step: int, state: TrainState, ids: np.ndarray) -> float:
    """The loss of one update at this step, with the parameters and the carry of a state."""
    state = state._replace(step=jnp.int32(step))
    _, loss, _ = jax.jit(update, static_argnums=(0, 1))(config.model, config.train, state, jnp.asarray(ids))
    return float(loss)


@pytest.mark.parametrize("stateful", [True, False])
def test_a_carry_goes_on_within_an_epoch_and_never_beyond(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, stateful: bool
) -> None:
    config = with_train(config, stateful=stateful)
    state = init_state(config, vocabulary.size)
    full = state._replace(carry=jax.tree.map(lambda leaf: leaf + 1, state.carry))
    chunks = chunks_per_epoch(config.train, ids.size)
    for step, is_carried in ((0, False), (1, stateful), (chunks - 1, stateful), (chunks, False)):
        differs = first_loss(config, step, state, ids) != first_loss(config, step, full, ids)
        assert differs == is_carried


def test_every_step_drops_out_something_else(config: Config, vocabulary: Vocabulary) -> None:
    layers = (EmbeddingConfig(size=5), DropoutConfig(rate=0.5), DenseConfig())
    config = with_train(replace(config, model=ModelConfig(layers=layers)), stateful=False)
    state = init_state(config, vocabulary.size)
    same = np.zeros(100, np.uint8)  # every batch is alike
    losses = [first_loss(config, step, state, same) for step in (0, 0, 1, 2)]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


# Updates that are not finite.


def jitted_update(config: Config, state: TrainState, ids: np.ndarray) -> TrainState:
    new, _, _ = jax.jit(update, static_argnums=(0, 1))(config.model, config.train, state, jnp.asarray(ids))
    return new  # type: ignore[no-any-return]


def with_broken_carry(state: TrainState, value: float) -> TrainState:
    """A state at a step that carries its carry on, in which one number is not finite."""
    carry = jax.tree.map(lambda leaf: leaf.at[0, 0].set(value), state.carry)
    return state._replace(step=jnp.int32(1), carry=carry)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_changes_nothing_that_was_learned(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, value: float
) -> None:
    state = init_state(config, vocabulary.size)
    state = jitted_update(config, state, ids)  # so that the optimizer remembers something
    new = jitted_update(config, with_broken_carry(state, value), ids)
    for before, after in zip(
        jax.tree.leaves((state.params, state.opt_state)),
        jax.tree.leaves((new.params, new.opt_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
    assert int(new.step) == 2
    assert int(new.skipped) == 1
    assert int(new.loss_count) == 1
    assert float(new.loss_sum) == float(state.loss_sum)
    for leaf in jax.tree.leaves(new.carry):
        np.testing.assert_array_equal(leaf, 0)


def test_after_a_skipped_update_training_goes_on_with_the_next_batch(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    skipped = jitted_update(config, with_broken_carry(state, np.nan), ids)
    new = jitted_update(config, skipped, ids)
    fresh = state._replace(step=jnp.int32(2))  # as if the step had never been
    expected = jitted_update(config, fresh, ids)
    jax.tree.map(np.testing.assert_array_equal, new.params, expected.params)
    assert int(new.skipped) == 0
    assert int(new.step) == 3


def test_so_many_in_a_row_end_a_dispatch_at_that_very_step(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.float32(np.nan), state.params))
    mesh = training_mesh(config.train)
    new, tally, is_finite = run_steps(
        config.model, config.train, mesh, broken, jnp.asarray(ids), jnp.int32(12)
    )
    assert int(new.step) == int(new.skipped) == MAX_SKIPPED < 12
    assert int(tally.updates) == 0
    assert float(tally.loss_sum) == 0
    assert np.isnan(float(tally.loss))
    assert not bool(is_finite)


def test_a_weight_beyond_what_a_float_holds_is_noticed_though_no_batch_looks_at_it(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    one = with_train(config, batch_size=1, seq_len=6)
    few = jnp.asarray(ids[:8])
    unused = min(set(range(vocabulary.size)) - set(ids[:8].tolist()))
    state = init_state(one, vocabulary.size)
    embedding, *others = state.params
    table = embedding.table.at[unused].set(np.inf)
    state = state._replace(params=(embedding._replace(table=table), *others))
    _, tally, is_finite = run_steps(one.model, one.train, training_mesh(one.train), state, few, jnp.int32(1))
    assert np.isfinite(float(tally.loss))
    assert not bool(is_finite)
