import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    DenseParams,
    GRUCarry,
    GRUParams,
    LSTMCarry,
    LSTMParams,
    RNNCarry,
    RNNParams,
    dense,
    init_rnn_block,
    lstm,
    lstm_carry,
    rnn_block,
    rnn_block_carry,
)


def test_a_block_adds_a_recurrent_and_a_dense_layer_to_its_input() -> None:
    params = init_rnn_block(jax.random.key(0), size=4)
    assert isinstance(params.cell, LSTMParams)
    xs = jax.random.normal(jax.random.key(1), (5, 3, 4))
    carry, ys = rnn_block(params, rnn_block_carry(params, 3), xs)
    cell_carry, hs = lstm(params.cell, lstm_carry(params.cell, 3), xs)
    np.testing.assert_allclose(ys, xs + dense(params.dense, hs), rtol=1e-6)
    np.testing.assert_allclose(carry.h, cell_carry.h, rtol=1e-6)


def test_the_skip_connection_preserves_the_input_and_its_gradient() -> None:
    params = init_rnn_block(jax.random.key(0), size=4)
    params = params._replace(dense=DenseParams(jnp.zeros((4, 4)), jnp.zeros(4)))
    xs = jax.random.normal(jax.random.key(1), (5, 3, 4))
    (_, ys), pull = jax.vjp(lambda xs: rnn_block(params, rnn_block_carry(params, 3), xs), xs)
    assert jnp.array_equal(ys, xs)
    (d_xs,) = pull((rnn_block_carry(params, 3), xs))
    assert jnp.array_equal(d_xs, xs)


@pytest.mark.parametrize(
    ("cell", "kind", "carry"),
    [("rnn", RNNParams, RNNCarry), ("lstm", LSTMParams, LSTMCarry), ("gru", GRUParams, GRUCarry)],
)
def test_the_cell_is_an_option(cell: str, kind: type, carry: type) -> None:
    params = init_rnn_block(jax.random.key(0), size=4, cell=cell)
    assert isinstance(params.cell, kind)
    assert isinstance(rnn_block_carry(params, 3), carry)
    assert params.dense.w.shape == (4, 4)


def test_the_cell_and_the_dense_layer_use_different_keys() -> None:
    params = init_rnn_block(jax.random.key(0), size=4, cell="rnn")
    assert not jnp.allclose(params.cell.w_x, params.dense.w)
