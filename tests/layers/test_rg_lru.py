"""The RG-LRU's own equations; what it has in common with other layers is in test_cells.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import RGLRUCarry, RGLRUParams, init_rg_lru, rg_lru
from jaxrnn.layers.rg_lru import rg_lru_gates

CLOSED, OPEN = -200.0, 200.0  # pre-activations that close and open a gate

jitted = jax.jit(rg_lru)


def one_unit(r: float, i: float, a_param: float = -2.0) -> RGLRUParams:
    return RGLRUParams(w_x=jnp.zeros((1, 2)), b=jnp.array([r, i]), a_param=jnp.array([a_param]))


def run(params: RGLRUParams, x: float, h: float) -> float:
    carry, hs = jitted(params, RGLRUCarry(jnp.full((1, 1), h)), jnp.full((1, 1, 1), x))
    assert carry.h == hs[-1]
    return float(carry.h.item())


def test_the_recurrence_gate_sets_the_decay_and_the_input_gate_what_is_written() -> None:
    decay = np.exp(-8 * np.log1p(np.exp(-2.0)))
    np.testing.assert_allclose(run(one_unit(OPEN, CLOSED), 0.7, 0.4), decay * 0.4, rtol=1e-5)
    np.testing.assert_allclose(run(one_unit(0.0, CLOSED), 0.7, 0.4), np.sqrt(decay) * 0.4, rtol=1e-5)
    expected = decay * 0.4 + np.sqrt(1 - decay**2) * 0.7
    np.testing.assert_allclose(run(one_unit(OPEN, OPEN), 0.7, 0.4), expected, rtol=1e-5)
    np.testing.assert_allclose(run(one_unit(CLOSED, OPEN), 0.7, 0.4), 0.4, rtol=1e-6)


def test_initial_decays_are_between_min_decay_and_0_999_and_biases_zero() -> None:
    params = init_rg_lru(jax.random.key(0), size=300)
    lower = init_rg_lru(jax.random.key(0), size=300, min_decay=0.1)
    for a_param, low in ((params.a_param, 0.9), (lower.a_param, 0.1)):
        decays = np.exp(-8 * np.logaddexp(0, np.asarray(a_param, np.float64)))
        assert low * 0.999 <= decays.min() < low + 0.02
        assert 0.98 < decays.max() <= 0.9991
    assert params.w_x.shape == (300, 600)
    assert not params.b.any()


def test_states_keep_the_scale_of_independent_inputs() -> None:
    params = init_rg_lru(jax.random.key(0), size=64)._replace(w_x=jnp.zeros((64, 128)))
    xs = jax.random.normal(jax.random.key(1), (2000, 4, 64))
    _, hs = jitted(params, RGLRUCarry(jnp.zeros((4, 64))), xs)
    np.testing.assert_allclose(hs[500:].std(), 0.5, rtol=0.1)  # the input gates are half open


@jax.jit
@jax.grad
def gradient(params: RGLRUParams) -> jax.Array:
    """Of the sum of the states of three steps with input 1."""
    dtype = params.b.dtype
    return rg_lru(params, RGLRUCarry(jnp.full((1, 1), 0.4, dtype)), jnp.ones((3, 1, 1), dtype))[1].sum()


@pytest.mark.parametrize("r", [-1e4, CLOSED, -80.0, -20.0, 0.0, OPEN])
@pytest.mark.parametrize("a_param", [-1e3, -80.0, -20.0, 0.0, 100.0])
def test_gradients_are_finite_and_small_where_the_decay_approaches_1_and_0(r: float, a_param: float) -> None:
    for leaf in gradient(one_unit(r, 0.5, a_param)):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() < 100


def test_the_gradient_near_a_decay_of_1_agrees_with_float64() -> None:
    """1 - a^2 is about 1e-8 here, which float32 can't resolve without expm1."""

    params = one_unit(-12.0, 0.5, -8.0)
    single = gradient(params)
    with jax.enable_x64(True):
        double = gradient(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params))
    for pair in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-4)


def test_the_decay_is_shown_as_a_gate() -> None:
    params = init_rg_lru(jax.random.key(0), size=6)
    xs = jax.random.normal(jax.random.key(1), (1, 4, 6))
    first, second = (jitted(params, RGLRUCarry(jnp.full((4, 6), h)), xs)[1] for h in (0.0, 1.0))
    np.testing.assert_allclose(second - first, rg_lru_gates(params, xs)["a"], rtol=1e-4)
