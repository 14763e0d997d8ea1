from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import LSTMCarry, LSTMParams, init_lstm, lstm, lstm_carry

CLOSED, OPEN = -50.0, 50.0  # pre-activations that close and open a gate


def one_unit(i: float, f: float, g: float, o: float) -> LSTMParams:
    """An LSTM of one unit whose gates depend on its biases only."""
    return LSTMParams(w_x=jnp.zeros((1, 4)), w_h=jnp.zeros((1, 4)), b=jnp.array([i, f, g, o]))


def run(params: LSTMParams, cell: float) -> tuple[float, float]:
    """The hidden state and cell state after one step from a cell state."""
    carry, hs = lstm(params, LSTMCarry(h=jnp.zeros((1, 1)), c=jnp.full((1, 1), cell)), jnp.zeros((1, 1, 1)))
    assert carry.h == hs[-1]
    return carry.h.item(), carry.c.item()


def test_the_gates_are_input_forget_candidate_and_output_in_this_order() -> None:
    candidate = np.tanh(0.7)
    for params, cell in (
        (one_unit(i=CLOSED, f=OPEN, g=0.7, o=OPEN), 0.4),
        (one_unit(i=OPEN, f=CLOSED, g=0.7, o=OPEN), candidate),
        (one_unit(i=OPEN, f=OPEN, g=0.7, o=OPEN), 0.4 + candidate),
    ):
        np.testing.assert_allclose(run(params, 0.4), (np.tanh(cell), cell), rtol=1e-6)
    np.testing.assert_allclose(run(one_unit(i=CLOSED, f=OPEN, g=0.7, o=CLOSED), 0.4), (0, 0.4), atol=1e-6)


def test_a_cell_keeps_its_value_while_the_forget_gate_is_open() -> None:
    params = one_unit(i=CLOSED, f=OPEN, g=0.7, o=OPEN)
    carry = LSTMCarry(h=jnp.zeros((1, 1)), c=jnp.full((1, 1), 0.4))
    carry, hs = lstm(params, carry, jnp.zeros((1000, 1, 1)))
    np.testing.assert_allclose(carry.c, 0.4, rtol=1e-6)
    np.testing.assert_allclose(hs, np.tanh(0.4), rtol=1e-6)


def test_the_initial_forget_bias_is_1_and_other_biases_are_zero() -> None:
    b = init_lstm(jax.random.key(0), input_size=3, hidden_size=6).b
    assert b.reshape(4, 6).tolist() == [[0.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]


def test_initial_recurrent_weights_are_orthogonal_per_gate() -> None:
    params = init_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    assert params.w_x.shape == (3, 24)
    gates = jnp.split(params.w_h, 4, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, jnp.eye(6), atol=1e-5)
    assert not jnp.allclose(gates[0], gates[1])


def test_the_two_arrays_of_a_carry_can_be_donated_separately() -> None:
    params = init_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    donating = jax.jit(lambda carry: jax.tree.map(lambda leaf: leaf + 1, carry), donate_argnums=0)
    assert donating(lstm_carry(params, 2)).c.shape == (2, 6)


def test_a_mask_hides_units_only_from_the_recurrent_weights() -> None:
    params = init_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    xs = jax.random.normal(jax.random.key(1), (4, 2, 3))
    mask = jnp.ones((2, 6)).at[:, 2].set(0)
    _, hs = lstm(params, lstm_carry(params, 2), xs, mask=mask)
    deaf = params._replace(w_h=params.w_h.at[2].set(0))  # no weight reads unit 2
    np.testing.assert_allclose(hs, lstm(deaf, lstm_carry(params, 2), xs)[1], atol=1e-6)
    assert (hs[:, :, 2] != 0).all()


def test_a_mask_of_another_shape_is_refused() -> None:
    params = init_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    with pytest.raises(
        ValueError, match=r"lstm: the mask must be \[batch, hidden\], \(2, 6\), got shape \(6,\)"
    ):
        lstm(params, lstm_carry(params, 2), jnp.ones((4, 2, 3)), mask=jnp.ones(6))


def test_the_jaxpr_without_a_mask_is_unchanged() -> None:
    params = init_lstm(jax.random.key(0), input_size=3, hidden_size=6)
    xs = jnp.ones((4, 2, 3))

    def compiled(**options: Any) -> str:
        run = jax.value_and_grad(lambda params: lstm(params, lstm_carry(params, 2), xs, **options)[1].sum())
        return jax.jit(run).lower(params).as_text()

    assert compiled() == compiled(mask=None)
    assert len(compiled(mask=jnp.ones((2, 6)))) > len(compiled())
