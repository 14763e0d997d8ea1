"""The minGRU's own equations; what it has in common with other layers is in test_cells.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import MinGRUCarry, MinGRUParams, init_min_gru, min_gru
from jaxrnn.layers.min_gru import min_gru_gates

CLOSED, OPEN = -50.0, 50.0  # pre-activations that close and open a gate

jitted = jax.jit(min_gru)


def run(z: float, n: float, h: float = 0.4) -> float:
    """The state after one step from h, for a minGRU of one unit with the given biases."""
    params = MinGRUParams(w_x=jnp.zeros((1, 2)), b=jnp.array([z, n]))
    carry, hs = jitted(params, MinGRUCarry(jnp.full((1, 1), h)), jnp.zeros((1, 1, 1)))
    assert carry.h == hs[-1]
    return float(carry.h.item())


@pytest.mark.parametrize(("n", "candidate"), [(0.7, 1.2), (-0.7, 1 / (1 + np.exp(0.7))), (0.0, 0.5)])
def test_the_update_gate_writes_the_candidate(n: float, candidate: float) -> None:
    np.testing.assert_allclose(run(z=CLOSED, n=n), 0.4, rtol=1e-6)
    np.testing.assert_allclose(run(z=OPEN, n=n), candidate, rtol=1e-6)
    np.testing.assert_allclose(run(z=0.0, n=n), (0.4 + candidate) / 2, rtol=1e-6)


def test_initial_biases_are_zero_and_the_blocks_differ() -> None:
    params = init_min_gru(jax.random.key(0), input_size=3, hidden_size=6)
    assert params.w_x.shape == (3, 12)
    z, n = jnp.split(params.w_x, 2, axis=1)
    assert not jnp.allclose(z, n)
    assert not params.b.any()


def test_states_from_zeros_lie_between_zero_and_the_largest_candidate() -> None:
    params = init_min_gru(jax.random.key(0), input_size=3, hidden_size=6)
    xs = 10 * jax.random.normal(jax.random.key(1), (200, 2, 3))
    _, hs = jitted(params, MinGRUCarry(jnp.zeros((2, 6))), xs)
    largest = (xs @ params.w_x)[..., 6:].max() + 0.5
    assert (hs >= 0).all()
    assert (hs <= largest * (1 + 1e-5)).all()


def test_the_gate_is_the_share_of_the_candidate_in_the_new_state() -> None:
    params = MinGRUParams(w_x=jnp.array([[1.0, 0.0]]), b=jnp.array([0.0, 0.5]))  # the candidate is 1
    xs = jnp.array([[[-1.0], [2.0]]])
    _, hs = jitted(params, MinGRUCarry(jnp.zeros((2, 1))), xs)
    np.testing.assert_allclose(min_gru_gates(params, xs)["z"], hs, rtol=1e-6)
