import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import RNNCarry, RNNParams, init_rnn, rnn


def test_each_state_is_the_tanh_of_input_and_previous_state() -> None:
    params = RNNParams(w_x=jnp.array([[2.0]]), w_h=jnp.array([[-1.0]]), b=jnp.array([0.5]))
    carry, hs = rnn(params, RNNCarry(jnp.array([[0.3]])), jnp.array([[[1.0]], [[-1.0]]]))
    first = np.tanh(2 * 1 - 0.3 + 0.5)
    second = np.tanh(2 * -1 - first + 0.5)
    np.testing.assert_allclose(hs.ravel(), [first, second], rtol=1e-6)
    assert carry.h == hs[-1]


def test_initial_recurrent_weights_are_orthogonal_and_biases_zero() -> None:
    params = init_rnn(jax.random.key(0), input_size=3, hidden_size=6)
    assert params.w_x.shape == (3, 6)
    np.testing.assert_allclose(params.w_h.T @ params.w_h, jnp.eye(6), atol=1e-5)
    assert not params.b.any()
