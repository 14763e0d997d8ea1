"""Schedules, clipping, weight decay, plateaus."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import reference
from jaxrnn.config import TrainConfig
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.training.optimizer import init_plateau, learning_rate, make_optimizer, update_plateau


def config(**values: Any) -> TrainConfig:
    usual: dict[str, Any] = {"steps": 100, "learning_rate": 0.1, "warmup_steps": 10, "weight_decay": 0.0}
    return TrainConfig(**{**usual, **values})


def rate(config: TrainConfig, step: int) -> float:
    return float(learning_rate(config, jnp.int32(step)))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "plateau"])
def test_every_schedule_warms_up_linearly(schedule: str) -> None:
    climbing = [rate(config(schedule=schedule), step) for step in range(10)]
    np.testing.assert_allclose(climbing, 0.01 * np.arange(1, 11), rtol=1e-5)


def test_linear_and_cosine_reach_zero_after_the_last_step() -> None:
    assert rate(config(schedule="linear"), 55) == pytest.approx(0.05)
    assert rate(config(schedule="cosine"), 55) == pytest.approx(0.05)
    assert rate(config(schedule="cosine"), 32) > rate(config(schedule="linear"), 32)
    for schedule in ("linear", "cosine"):
        assert 0 < rate(config(schedule=schedule), 99) < 0.002
        assert rate(config(schedule=schedule), 100) == pytest.approx(0, abs=1e-8)


def test_constant_and_plateau_do_not_decay() -> None:
    for schedule in ("constant", "plateau"):
        assert rate(config(schedule=schedule), 99) == pytest.approx(0.1)


def test_a_warm_up_longer_than_training_ends_with_it() -> None:
    assert rate(config(steps=5, warmup_steps=20), 4) == pytest.approx(0.1)


PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}


def first_update(config: TrainConfig, gradients: dict[str, jax.Array]) -> dict[str, jax.Array]:
    optimizer = make_optimizer(config)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    first_rate = learning_rate(config, jnp.int32(0))
    return jax.tree.map(lambda update: first_rate * update, updates)  # type: ignore[no-any-return]


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate() -> None:
    for scale in (1e-3, 0.5):
        updates = first_update(
            config(warmup_steps=0), {"w": jnp.full((2, 2), scale), "b": -jnp.full(2, scale)}
        )
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-3)
        np.testing.assert_allclose(updates["b"], 0.1, rtol=1e-3)


def test_only_matrices_decay() -> None:
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = first_update(config(warmup_steps=0, weight_decay=0.3), zero)
    np.testing.assert_allclose(updates["w"], -0.1 * 0.3, rtol=1e-5)
    np.testing.assert_allclose(updates["b"], 0)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    huge = {"w": jnp.full((2, 2), 1e6), "b": jnp.full(2, -1e6)}
    optimizer = make_optimizer(config(max_grad_norm=1.0))
    unclipped = make_optimizer(config(max_grad_norm=0.0))
    with jax.numpy_dtype_promotion("standard"):
        _, state = optimizer.update(huge, optimizer.init(PARAMS), PARAMS)
        _, free = unclipped.update(huge, unclipped.init(PARAMS), PARAMS)
    # Adam's first moment after one step is 0.1 of the gradient
    norm = float(jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(state[1].mu))))
    assert norm == pytest.approx(0.1, rel=1e-3)
    np.testing.assert_allclose(free[1].mu["w"], 1e5, rtol=1e-3)


def test_a_plateau_lowers_the_learning_rate_after_each_patience() -> None:
    plateau_config = config(schedule="plateau", plateau_patience=2, plateau_factor=0.5)
    plateau, scales = init_plateau(), []
    for improved in (True, False, False, False, True, False, False):
        plateau = update_plateau(plateau_config, plateau, improved=improved)
        scales.append(float(plateau.scale))
    assert scales == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_other_schedules_ignore_plateaus() -> None:
    plateau = update_plateau(config(schedule="linear", plateau_patience=1), init_plateau(), improved=False)
    assert float(plateau.scale) == 1
    assert int(plateau.waited) == 0


# Optimizers.


def params_of_a_model() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    return (
        EmbeddingParams(normal(5, 4)),
        LSTMParams(normal(4, 24), normal(6, 24), normal(24)),
        (),
        DenseParams(normal(6, 5), normal(5)),
    )


def follow(config: TrainConfig, params: Any, gradients: list[Any]) -> Any:
    """The parameters after an update by each of the gradients, at a learning rate of 0.1."""
    optimizer = make_optimizer(config)
    state = optimizer.init(params)
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(lambda p, update: p + 0.1 * update, params, updates)
    return params


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.99), (0.0, 0.99), (0.5, 0.0)])
def test_adamw_equals_the_reference_for_any_betas(beta1: float, beta2: float) -> None:
    params = params_of_a_model()
    gradients = [jax.tree.map(lambda p, n=n: jnp.sin(n + p), params) for n in range(5)]
    found = follow(config(beta1=beta1, beta2=beta2, max_grad_norm=0.0), params, gradients)
    expected, state = jax.device_get(params), reference.init_adam(jax.device_get(params))
    for gradient in jax.device_get(gradients):
        expected, state = reference.adam(expected, gradient, state, 0.1, b1=beta1, b2=beta2)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_muon_orthogonalizes_inner_matrices_and_is_adam_elsewhere() -> None:
    params = params_of_a_model()
    muon, adam = (follow(config(optimizer=name), params, [params]) for name in ("muon", "adamw"))
    for by_muon, by_adam in ((muon[0], adam[0]), (muon[3], adam[3])):
        jax.tree.map(np.testing.assert_array_equal, by_muon, by_adam)
    np.testing.assert_array_equal(muon[1].b, adam[1].b)
    for before, after in ((params[1].w_x, muon[1].w_x), (params[1].w_h, muon[1].w_h)):
        singular = np.linalg.svd((before - after) / 0.1, compute_uv=False) / (0.2 * max(before.shape) ** 0.5)
        assert (np.abs(singular - 1) < 0.5).all(), singular
        assert not np.allclose(after, before)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_optimizer_decays_only_matrices(name: str) -> None:
    params = params_of_a_model()
    zero = jax.tree.map(jnp.zeros_like, params)
    moved = follow(config(optimizer=name, weight_decay=0.3), params, [zero])
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(moved), strict=True):
        np.testing.assert_allclose(after, before * (1 - 0.03 * (before.ndim == 2)), rtol=1e-5)
