"""Common behavior of rnn, lstm, gru and rnn_block, and the specific behavior of each."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from jaxrnn.reference import (
    GRUCarry,
    LSTMCarry,
    RNNBlockParams,
    RNNCarry,
    gru_backward,
    gru_forward,
    init_gru,
    init_lstm,
    init_rnn,
    init_rnn_block,
    lstm_backward,
    lstm_forward,
    rnn_backward,
    rnn_block_backward,
    rnn_block_forward,
    rnn_forward,
)
from jaxrnn.reference.optimizer import map_leaves

from .oracle import central_differences, inner, leaves, random_like, relative_error

SIZES = [(4, 3, 2, 5), (1, 3, 2, 5), (4, 1, 2, 5), (4, 3, 1, 5), (4, 3, 2, 1), (1, 1, 1, 1)]
LAYERS = ["rnn", "lstm", "gru", "block of rnn", "block of lstm", "block of gru"]
INIT = {"rnn": init_rnn, "lstm": init_lstm, "gru": init_gru}
FORWARD = {"rnn": rnn_forward, "lstm": lstm_forward, "gru": gru_forward}
BACKWARD = {"rnn": rnn_backward, "lstm": lstm_backward, "gru": gru_backward}
CARRY = {"rnn": RNNCarry, "lstm": LSTMCarry, "gru": GRUCarry}


class Case(NamedTuple):
    params: Any
    carry: Any
    xs: np.ndarray
    forward: Any
    backward: Any


def random_case(layer: str, sizes: tuple[int, int, int, int] = SIZES[0]) -> Case:
    """A layer with random parameters, carry and inputs; the input size of a block is its hidden size."""
    time, batch, input_size, hidden_size = sizes
    rng = np.random.default_rng(0)
    cell = layer.removeprefix("block of ")
    carry_type: Any = CARRY[cell]
    carry = carry_type(*(rng.standard_normal((batch, hidden_size)) for _ in carry_type._fields))
    if cell == layer:
        params = random_like(rng, INIT[cell](rng, input_size, hidden_size))
        return Case(
            params, carry, rng.standard_normal((time, batch, input_size)), FORWARD[cell], BACKWARD[cell]
        )
    params = random_like(rng, init_rnn_block(rng, hidden_size, cell))
    return Case(
        params,
        carry,
        rng.standard_normal((time, batch, hidden_size)),
        partial(rnn_block_forward, cell),
        partial(rnn_block_backward, cell),
    )


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_backward_pass_agrees_with_central_differences(layer, sizes):
    params, carry, xs, forward, backward = random_case(layer, sizes)
    last, ys, residuals = forward(params, carry, xs)
    d_last, d_ys = random_like(np.random.default_rng(1), (last, ys))

    gradients = backward(params, residuals, d_last, d_ys)

    differences = central_differences(
        lambda args: inner((d_last, d_ys), forward(*args)[:2]), (params, carry, xs)
    )
    assert relative_error(gradients, differences) < 1e-8


@pytest.mark.parametrize("layer", LAYERS)
def test_with_resets_the_backward_pass_agrees_with_central_differences(layer):
    params, carry, xs, forward, backward = random_case(layer)
    resets = np.random.default_rng(2).random(xs.shape[:2]) < 0.4
    assert 0 < resets[0].sum() < resets.shape[1]
    last, ys, residuals = forward(params, carry, xs, resets=resets)
    d_last, d_ys = random_like(np.random.default_rng(1), (last, ys))
    differences = central_differences(
        lambda args: inner((d_last, d_ys), forward(*args, resets=resets)[:2]), (params, carry, xs)
    )
    assert relative_error(backward(params, residuals, d_last, d_ys), differences) < 1e-8


@pytest.mark.parametrize("layer", LAYERS)
def test_a_sequence_with_a_reset_equals_two_sequences(layer):
    params, carry, xs, forward, backward = random_case(layer)
    resets = np.zeros(xs.shape[:2], bool)
    resets[2] = True
    last, ys, residuals = forward(params, carry, xs, resets=resets)
    d_last, d_ys = random_like(np.random.default_rng(1), (last, ys))

    empty = map_leaves(np.zeros_like, carry)
    _, ys_1, residuals_1 = forward(params, carry, xs[:2])
    last_2, ys_2, residuals_2 = forward(params, empty, xs[2:])
    d_params_2, _, d_xs_2 = backward(params, residuals_2, d_last, d_ys[2:])
    d_params_1, d_carry, d_xs_1 = backward(params, residuals_1, empty, d_ys[:2])
    in_two = (map_leaves(np.add, d_params_1, d_params_2), d_carry, np.concatenate([d_xs_1, d_xs_2]))
    assert relative_error((last_2, np.concatenate([ys_1, ys_2])), (last, ys)) < 1e-14
    assert relative_error(backward(params, residuals, d_last, d_ys), in_two) < 1e-13


@pytest.mark.parametrize("cut", [1, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_two_chunks_with_a_carried_state_equal_one_long_sequence(layer, cut):
    params, carry, xs, forward, backward = random_case(layer)
    last, ys, residuals = forward(params, carry, xs)
    d_last, d_ys = random_like(np.random.default_rng(1), (last, ys))

    middle, ys_1, residuals_1 = forward(params, carry, xs[:cut])
    last_2, ys_2, residuals_2 = forward(params, middle, xs[cut:])
    # Between chunks the gradient is passed as the cotangent of the carry, from the second chunk to the first.
    d_params_2, d_middle, d_xs_2 = backward(params, residuals_2, d_last, d_ys[cut:])
    d_params_1, d_carry, d_xs_1 = backward(params, residuals_1, d_middle, d_ys[:cut])

    assert relative_error((last_2, np.concatenate([ys_1, ys_2])), (last, ys)) < 1e-14
    in_two = (map_leaves(np.add, d_params_1, d_params_2), d_carry, np.concatenate([d_xs_1, d_xs_2]))
    assert relative_error(in_two, backward(params, residuals, d_last, d_ys)) < 1e-13


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", LAYERS)
def test_results_have_the_dtype_of_the_arguments(layer, dtype):
    case = random_case(layer)
    params, carry, xs = map_leaves(lambda leaf: leaf.astype(dtype), (case.params, case.carry, case.xs))
    last, ys, residuals = case.forward(params, carry, xs)
    gradients = case.backward(params, residuals, last, ys)
    assert {leaf.dtype for leaf in leaves((last, ys, gradients))} == {np.dtype(dtype)}


@pytest.mark.parametrize("layer", LAYERS)
def test_forward_and_backward_do_not_change_their_arguments(layer):
    params, carry, xs, forward, backward = random_case(layer)
    before = map_leaves(np.copy, (params, carry, xs))
    last, ys, residuals = forward(params, carry, xs)
    cotangents = random_like(np.random.default_rng(1), (last, ys))
    cotangents_before = map_leaves(np.copy, cotangents)
    backward(params, residuals, *cotangents)
    assert relative_error((params, carry, xs), before) == 0
    assert relative_error(cotangents, cotangents_before) == 0


def test_an_lstm_with_closed_input_and_open_forget_gate_keeps_its_cell_and_gradient():
    params, carry, xs, _, _ = random_case("lstm")
    size = carry.c.shape[-1]
    shut, open_, neutral = (np.full(size, value) for value in (-1e3, 1e3, 0.0))
    params = params._replace(b=np.concatenate([shut, open_, neutral, neutral]))
    last, hs, residuals = lstm_forward(params, carry, xs)
    np.testing.assert_array_equal(last.c, carry.c)
    d_last = LSTMCarry(h=np.zeros_like(carry.h), c=np.ones_like(carry.c))
    _, d_carry, _ = lstm_backward(params, residuals, d_last, np.zeros_like(hs))
    np.testing.assert_array_equal(d_carry.c, d_last.c)


def test_a_gru_with_an_update_gate_of_1_keeps_its_state():
    params, carry, xs, _, _ = random_case("gru")
    size = carry.h.shape[-1]
    b = np.concatenate([np.zeros(size), np.full(size, 1e3), np.zeros(size)])
    last, _, _ = gru_forward(params._replace(b=b), carry, xs)
    np.testing.assert_array_equal(last.h, carry.h)


def test_a_gru_with_reset_and_update_gates_of_0_depends_on_its_input_only():
    params, carry, xs, _, _ = random_case("gru")
    size = carry.h.shape[-1]
    b = np.concatenate([np.full(2 * size, -1e3), np.zeros(size)])
    _, hs, _ = gru_forward(params._replace(b=b), carry, xs)
    np.testing.assert_allclose(hs, np.tanh(xs @ params.w_x[:, 2 * size :]), rtol=1e-13)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_block_whose_dense_layer_is_zero_is_the_identity(cell):
    params, carry, xs, forward, _ = random_case(f"block of {cell}")
    params = RNNBlockParams(params.cell, map_leaves(np.zeros_like, params.dense))
    _, ys, _ = forward(params, carry, xs)
    np.testing.assert_array_equal(ys, xs)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_initial_recurrent_weights_are_orthogonal_per_gate(cell):
    w_h = INIT[cell](np.random.default_rng(0), 3, 7).w_h
    for gate in np.split(w_h, w_h.shape[1] // 7, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(7), atol=1e-14)


def test_the_initial_forget_bias_of_an_lstm_is_1_and_other_biases_are_zero():
    i, f, g, o = np.split(init_lstm(np.random.default_rng(0), 3, 7).b, 4)
    assert set(f) == {1.0}
    assert set(i) == set(g) == set(o) == {0.0}
