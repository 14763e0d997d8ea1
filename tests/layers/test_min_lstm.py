"""The minLSTM's own equations; what it has in common with other layers is in test_cells.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import MinLSTMCarry, MinLSTMParams, init_min_lstm, min_lstm
from jaxrnn.layers.min_lstm import min_lstm_gates

jitted = jax.jit(min_lstm)


def sigmoid(p: float) -> float:
    return float(1 / (1 + np.exp(-p)))


def run(i: float, f: float, g: float, h: float = 0.4) -> float:
    """The state after one step from h, for a minLSTM of one unit with the given biases."""
    params = MinLSTMParams(w_x=jnp.zeros((1, 3)), b=jnp.array([i, f, g]))
    carry, hs = jitted(params, MinLSTMCarry(jnp.full((1, 1), h)), jnp.zeros((1, 1, 1)))
    assert carry.h == hs[-1]
    return float(carry.h.item())


@pytest.mark.parametrize(("g", "candidate"), [(0.7, 1.2), (-0.7, sigmoid(-0.7))])
@pytest.mark.parametrize(("i", "f"), [(0.3, -1.0), (2.0, 2.0), (-3.0, 1.0)])
def test_the_new_state_is_the_mean_of_state_and_candidate_weighted_by_the_gates(
    i: float, f: float, g: float, candidate: float
) -> None:
    expected = (sigmoid(f) * 0.4 + sigmoid(i) * candidate) / (sigmoid(f) + sigmoid(i))
    np.testing.assert_allclose(run(i, f, g), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("i", "f", "expected"), [(-200.0, -200.0, 0.8), (-200.0, 0.0, 0.4), (0.0, -200.0, 1.2)]
)
def test_the_gates_are_normalized_where_both_sigmoids_underflow(i: float, f: float, expected: float) -> None:
    np.testing.assert_allclose(run(i, f, 0.7), expected, rtol=1e-6)

    def loss(b: jax.Array) -> jax.Array:
        params = MinLSTMParams(w_x=jnp.zeros((1, 3)), b=b)
        return jitted(params, MinLSTMCarry(jnp.full((1, 1), 0.4)), jnp.zeros((4, 1, 1)))[1].sum()

    assert jnp.isfinite(jax.grad(loss)(jnp.array([i, f, 0.7]))).all()


def test_initial_biases_are_zero_and_the_blocks_differ() -> None:
    params = init_min_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    assert params.w_x.shape == (3, 18)
    i, f, g = jnp.split(params.w_x, 3, axis=1)
    assert not jnp.allclose(i, f)
    assert not jnp.allclose(f, g)
    assert not params.b.any()


def test_the_gates_add_up_to_one_and_are_the_shares_in_the_new_state() -> None:
    params = init_min_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    xs = jax.random.normal(jax.random.key(1), (1, 4, 3))
    gates = min_lstm_gates(params, xs)
    np.testing.assert_allclose(gates["i"] + gates["f"], 1, rtol=1e-6)
    states = (jitted(params, MinLSTMCarry(jnp.full((4, 6), h)), xs)[1] for h in (0.0, 1.0))
    first, second = states
    np.testing.assert_allclose(second - first, gates["f"], rtol=1e-4)
