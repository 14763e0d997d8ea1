import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import GRUCarry, GRUParams, gru, init_gru

CLOSED, OPEN = -50.0, 50.0  # pre-activations that close and open a gate


def run(r: float, z: float, n: float, *, w_n: float = 0.0, b_n: float = 0.0, h: float = 0.4) -> float:
    """The state after one step from h, for a GRU of one unit with the given biases and recurrent weight of n."""
    params = GRUParams(
        w_x=jnp.zeros((1, 3)),
        w_h=jnp.array([[0.0, 0.0, w_n]]),
        b=jnp.array([r, z, n]),
        b_n=jnp.array([b_n]),
    )
    carry, hs = gru(params, GRUCarry(jnp.full((1, 1), h)), jnp.zeros((1, 1, 1)))
    assert carry.h == hs[-1]
    return float(carry.h.item())


def test_the_gates_are_reset_update_and_candidate_in_this_order() -> None:
    np.testing.assert_allclose(run(r=OPEN, z=OPEN, n=0.7), 0.4, rtol=1e-6)
    np.testing.assert_allclose(run(r=OPEN, z=CLOSED, n=0.7), np.tanh(0.7), rtol=1e-6)
    np.testing.assert_allclose(run(r=OPEN, z=0.0, n=0.7), (0.4 + np.tanh(0.7)) / 2, rtol=1e-6)


def test_the_reset_gate_scales_the_recurrent_product_with_its_bias() -> None:
    np.testing.assert_allclose(
        run(r=OPEN, z=CLOSED, n=0.7, w_n=2, b_n=0.1), np.tanh(0.7 + 2 * 0.4 + 0.1), rtol=1e-6
    )
    np.testing.assert_allclose(run(r=CLOSED, z=CLOSED, n=0.7, w_n=2, b_n=0.1), np.tanh(0.7), rtol=1e-6)
    np.testing.assert_allclose(
        run(r=0.0, z=CLOSED, n=0.7, w_n=2, b_n=0.1), np.tanh(0.7 + (2 * 0.4 + 0.1) / 2), rtol=1e-6
    )


def test_initial_recurrent_weights_are_orthogonal_per_gate_and_biases_zero() -> None:
    params = init_gru(jax.random.key(0), input_size=3, hidden_size=6)
    assert params.w_x.shape == (3, 18)
    gates = jnp.split(params.w_h, 3, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, jnp.eye(6), atol=1e-5)
    assert not jnp.allclose(gates[0], gates[1])
    assert not params.b.any()
    assert not params.b_n.any()
