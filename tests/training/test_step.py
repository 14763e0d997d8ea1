"""One update: its inputs, and skipping of updates that are not finite."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config, DenseConfig, DropoutConfig, EmbeddingConfig, ModelConfig
from jaxrnn.data.batching import chunks_per_epoch
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.parallel.devices import training_mesh
from jaxrnn.training.leaves import to_leaves
from jaxrnn.training.state import TrainState, after_rollback, init_state
from jaxrnn.training.step import MAX_SKIPPED, run_steps, update


def with_train(config: Config, **values: object) -> Config:
    return replace(config, train=replace(config.train, **values))  # type: ignore[arg-type]


def first_loss(config: Config, step: int, state: TrainState, ids: np.ndarray) -> float:
    """The loss of an update at this step, with the parameters and carry of a state."""
    state = state._replace(step=jnp.int32(step))
    _, loss, _ = jax.jit(update, static_argnums=(0, 1))(config.model, config.train, state, jnp.asarray(ids))
    return float(loss)


@pytest.mark.parametrize("stateful", [True, False])
def test_the_carry_continues_within_an_epoch_only(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, stateful: bool
) -> None:
    config = with_train(config, stateful=stateful)
    state = init_state(config, vocabulary.size)
    full = state._replace(carry=jax.tree.map(lambda leaf: leaf + 1, state.carry))
    chunks = chunks_per_epoch(config.train, ids.size)
    for step, is_carried in ((0, False), (1, stateful), (chunks - 1, stateful), (chunks, False)):
        differs = first_loss(config, step, state, ids) != first_loss(config, step, full, ids)
        assert differs == is_carried


def test_every_step_has_its_own_dropout_mask(config: Config, vocabulary: Vocabulary) -> None:
    layers = (EmbeddingConfig(size=5), DropoutConfig(rate=0.5), DenseConfig())
    config = with_train(replace(config, model=ModelConfig(layers=layers)), stateful=False)
    state = init_state(config, vocabulary.size)
    same = np.zeros(100, np.uint8)  # all batches are equal
    losses = [first_loss(config, step, state, same) for step in (0, 0, 1, 2)]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


# Updates that are not finite.


def jitted_update(config: Config, state: TrainState, ids: np.ndarray) -> TrainState:
    new, _, _ = jax.jit(update, static_argnums=(0, 1))(config.model, config.train, state, jnp.asarray(ids))
    return new  # type: ignore[no-any-return]


def with_broken_carry(state: TrainState, value: float) -> TrainState:
    """A state at a step that uses its carry, with one value that is not finite."""
    carry = jax.tree.map(lambda leaf: leaf.at[0, 0].set(value), state.carry)
    return state._replace(step=jnp.int32(1), carry=carry)


AVERAGES: list[dict[str, object]] = [{}, {"ema_decay": 0.9}]
ACCUMULATED: dict[str, object] = {"accumulate_steps": 2, "ema_decay": 0.9}


@pytest.mark.parametrize("average", [*AVERAGES, ACCUMULATED])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_does_not_change_the_parameters(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, value: float, average: dict[str, object]
) -> None:
    config = with_train(config, **average)
    state = init_state(config, vocabulary.size)
    state = jitted_update(config, state, ids)  # so that the optimizer state is not zero
    new = jitted_update(config, with_broken_carry(state, value), ids)
    for before, after in zip(
        jax.tree.leaves((state.params, state.opt_state, state.average)),
        jax.tree.leaves((new.params, new.opt_state, new.average)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
    assert int(new.step) == 2
    assert int(new.skipped) == 1
    assert int(new.loss_count) == 1
    assert float(new.loss_sum) == float(state.loss_sum)
    for leaf in jax.tree.leaves(new.carry):
        np.testing.assert_array_equal(leaf, 0)


def test_training_continues_with_the_next_batch_after_a_skipped_update(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    skipped = jitted_update(config, with_broken_carry(state, np.nan), ids)
    new = jitted_update(config, skipped, ids)
    fresh = state._replace(step=jnp.int32(2))  # as if the skipped step had not happened
    expected = jitted_update(config, fresh, ids)
    jax.tree.map(np.testing.assert_array_equal, new.params, expected.params)
    assert int(new.skipped) == 0
    assert int(new.step) == 3


def test_the_maximum_of_consecutive_skips_ends_a_dispatch(
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


def test_an_infinite_weight_is_detected_even_if_no_batch_uses_it(
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


# Averages.


def test_the_arrays_of_a_state_without_options(config: Config, vocabulary: Vocabulary) -> None:
    parameters = ["0.table", "1.w_x", "1.w_h", "1.b", "2.w", "2.b"]
    moments = [f"opt_state.1.{moment}.{name}" for moment in ("mu", "nu") for name in parameters]
    others = ["step", "opt_state.1.count", "carry.1.h", "carry.1.c", "key", "plateau.scale", "plateau.waited"]
    others += ["rate_scale", "skipped", "layout", "shift", "stale", "best_val_loss", "loss_sum", "loss_count"]
    names = {*(f"params.{name}" for name in parameters), *moments, *others}
    assert to_leaves(init_state(config, vocabulary.size)).keys() == names


@pytest.mark.parametrize("average", AVERAGES[1:])
def test_an_average_follows_the_parameters_without_changing_them(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, average: dict[str, object]
) -> None:
    averaging = with_train(config, **average)
    mesh, steps = training_mesh(config.train), jnp.int32(5)
    ends = [
        run_steps(each.model, each.train, mesh, init_state(each, vocabulary.size), jnp.asarray(ids), steps)[0]
        for each in (averaging, config)
    ]
    for with_it, without in zip(*(jax.tree.leaves(end.params) for end in ends), strict=True):
        np.testing.assert_allclose(with_it, without, rtol=1e-5, atol=1e-7)
    expected = init_state(averaging, vocabulary.size)
    for n in range(5):  # single steps: the mean of 5 parameters, or nearly the last one
        expected = jitted_update(averaging, expected, ids)
        assert int(jax.tree.leaves(expected.average)[-1]) == n + 1
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), ends[0].average, expected.average)


def test_a_rollback_restores_the_average(config: Config, vocabulary: Vocabulary) -> None:
    state = init_state(with_train(config, ema_decay=0.9), vocabulary.size)
    assert after_rollback(state).average is state.average


# Resets.


def test_resets_clear_the_carry_of_some_streams_or_of_all_at_a_rate_of_1(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    full = state._replace(carry=jax.tree.map(lambda leaf: leaf + 1, state.carry))
    empty, whole = (first_loss(config, 1, each, ids) for each in (state, full))
    always = with_train(config, reset_rate=1.0)
    assert first_loss(always, 1, full, ids) == empty != whole
    half = with_train(config, reset_rate=0.5)
    losses = [first_loss(half, step, full, ids) for step in (1, 1, 2, 3, 4)]
    assert losses[0] == losses[1]
    firsts = [first_loss(config, step, full, ids) for step in (1, 2, 3, 4)]
    assert any(one != other for one, other in zip(losses[1:], firsts, strict=True))


def test_a_tiny_reset_rate_does_not_change_the_result(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    one, other = (jitted_update(each, state, ids) for each in (config, with_train(config, reset_rate=1e-30)))
    jax.tree.map(np.testing.assert_array_equal, one.carry, other.carry)
