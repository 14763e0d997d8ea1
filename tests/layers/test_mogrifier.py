import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import MogrifierLSTMParams, init_mogrifier_lstm, lstm, lstm_carry, mogrifier_lstm
from jaxrnn.layers.lstm import LSTMParams

INPUT, HIDDEN, TIME, BATCH = 3, 4, 6, 2


def xs(seed: int = 1) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (TIME, BATCH, INPUT))


def params(rounds: int, rank: int = 0) -> MogrifierLSTMParams:
    return init_mogrifier_lstm(jax.random.key(0), INPUT, HIDDEN, rounds, rank)


def as_lstm(params: MogrifierLSTMParams) -> LSTMParams:
    return LSTMParams(params.w_x, params.w_h, params.b)


def test_zero_rounds_equal_an_lstm() -> None:
    weights = params(0)
    carry, hs = mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs())
    plain_carry, plain_hs = lstm(as_lstm(weights), lstm_carry(weights, BATCH), xs())
    np.testing.assert_allclose(hs, plain_hs, atol=1e-6)
    np.testing.assert_allclose(carry.c, plain_carry.c, atol=1e-6)


def test_rounds_with_zero_weights_change_nothing() -> None:
    weights = params(5, rank=2)
    weights = weights._replace(rounds=jax.tree.map(jnp.zeros_like, weights.rounds))
    _, hs = mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs())
    _, plain_hs = lstm(as_lstm(weights), lstm_carry(weights, BATCH), xs())
    np.testing.assert_allclose(hs, plain_hs, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 2])
def test_odd_rounds_gate_the_input_and_even_rounds_the_state(rank: int) -> None:
    shapes = [[leaf.shape for leaf in jax.tree.leaves(weights)] for weights in params(4, rank).rounds]
    gates_x, gates_h = [(HIDDEN, INPUT)], [(INPUT, HIDDEN)]
    if rank:
        gates_x, gates_h = [(rank, INPUT), (HIDDEN, rank)], [(rank, HIDDEN), (INPUT, rank)]
    assert shapes == [gates_x, gates_h] * 2


def test_a_zero_state_does_not_gate_the_first_input() -> None:
    weights = params(1)
    _, hs = mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs())
    _, plain_hs = lstm(as_lstm(weights), lstm_carry(weights, BATCH), xs())
    np.testing.assert_allclose(hs[0], plain_hs[0], atol=1e-6)
    assert (jnp.abs(hs[1:] - plain_hs[1:]) > 1e-6).any(axis=(1, 2)).all()


def test_two_chunks_with_a_carried_state_equal_one_sequence() -> None:
    weights = params(3, rank=2)
    carry, hs = mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs())
    half, first = mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs()[:2])
    end, second = mogrifier_lstm(weights, half, xs()[2:])
    np.testing.assert_allclose(jnp.concatenate([first, second]), hs, atol=1e-6)
    np.testing.assert_allclose(end.c, carry.c, atol=1e-6)


def test_mismatched_shapes_are_refused() -> None:
    weights = params(1)
    with pytest.raises(ValueError, match="mogrifier_lstm: xs must be"):
        mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs()[0])
    with pytest.raises(ValueError, match="mogrifier_lstm: the mask must be"):
        mogrifier_lstm(weights, lstm_carry(weights, BATCH), xs(), mask=jnp.ones(HIDDEN))
