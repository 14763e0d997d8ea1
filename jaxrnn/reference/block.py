"""Recurrent block: a recurrent layer, a dense layer, and a way around both (He et al. 2016 for the skip).

    carry, hs = cell(carry, xs)                                                      (1)
    ys = xs + dense(hs)                                                              (2)

Backward in the reverse order, the dense layer first, since it came last:

    d_hs = dense backward of d_ys                                 by (2)             (3)
    d_xs = (cell backward of d_hs) + d_ys                         by (1), (2)        (4)

xs is used twice, so d_xs is a sum; its second term is d_ys itself, untouched: however many blocks are
stacked, a gradient has a way to the lowest that meets no weight at all. The sum in (2) wants the sizes of
xs and ys to be equal.

Step by step: docs/maths.md, section 6.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxrnn.reference.arrays import Array
from jaxrnn.reference.dense import DenseParams, DenseResiduals, dense_backward, dense_forward, init_dense
from jaxrnn.reference.gru import GRUCarry, GRUParams, gru_backward, gru_forward, init_gru
from jaxrnn.reference.lstm import LSTMCarry, LSTMParams, init_lstm, lstm_backward, lstm_forward
from jaxrnn.reference.rnn import RNNCarry, RNNParams, init_rnn, rnn_backward, rnn_forward

CellParams: TypeAlias = RNNParams | LSTMParams | GRUParams
CellCarry: TypeAlias = RNNCarry | LSTMCarry | GRUCarry


class Cell(NamedTuple):
    """A recurrent layer."""

    init: Any  # (rng, input_size, hidden_size) -> params
    carry: Any  # the type of its state
    forward: Any  # (params, carry, xs, resets) -> carry, hs, residuals
    backward: Any  # (params, residuals, d_carry, d_hs) -> d_params, d_carry, d_xs


CELLS = {
    "rnn": Cell(init_rnn, RNNCarry, rnn_forward, rnn_backward),
    "lstm": Cell(init_lstm, LSTMCarry, lstm_forward, lstm_backward),
    "gru": Cell(init_gru, GRUCarry, gru_forward, gru_backward),
}


class RNNBlockParams(NamedTuple):
    """Parameters of a recurrent block."""

    cell: CellParams
    dense: DenseParams  # [H, H] with H the size of the block


class RNNBlockResiduals(NamedTuple):
    """The residuals of a residual block: those of its two layers."""

    cell: list[Any]
    dense: DenseResiduals


def init_rnn_block(rng: np.random.Generator, size: int, cell: str = "lstm") -> RNNBlockParams:
    """A new cell (`rnn`, `lstm` or `gru`) and a new dense layer, all of one size."""
    return RNNBlockParams(cell=CELLS[cell].init(rng, size, size), dense=init_dense(rng, size, size))


def rnn_block_forward(
    cell: str, params: RNNBlockParams, carry: CellCarry, xs: Array, resets: Array | None = None
) -> tuple[CellCarry, Array, RNNBlockResiduals]:
    """Map xs [T, B, H] to the last carry of the cell, outputs [T, B, H], residuals; resets [T, B] are the cell's."""
    carry, hs, cell_residuals = CELLS[cell].forward(params.cell, carry, xs, resets)  # (1)
    ys, dense_residuals = dense_forward(params.dense, hs)
    return carry, xs + ys, RNNBlockResiduals(cell_residuals, dense_residuals)  # (2)


def rnn_block_backward(
    cell: str, params: RNNBlockParams, residuals: RNNBlockResiduals, d_carry: CellCarry, d_ys: Array
) -> tuple[RNNBlockParams, CellCarry, Array]:
    """Take cotangents of the last carry and of ys; return those of params, first carry and xs."""
    d_dense, d_hs = dense_backward(params.dense, residuals.dense, d_ys)  # (3)
    d_cell, d_carry, d_xs = CELLS[cell].backward(params.cell, residuals.cell, d_carry, d_hs)  # (4)
    return RNNBlockParams(d_cell, d_dense), d_carry, d_xs + d_ys  # (4)
