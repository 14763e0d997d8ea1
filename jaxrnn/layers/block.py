"""The residual recurrent block: a recurrent layer, a dense layer, and the input added on top.

forward     h = cell(x),   y = x + h W + b              x, h and y of one size

backward    dx = dy + cell's backward(dh),   dh = dy W^T,   dW = sum_t h_t^T dy_t,   db = sum_t sum_batch dy_t

            Through the skip connection dy reaches x unchanged, however deep the stack (He et al., 2016). The order is
            the reverse of the forward pass: the dense layer first, then the cell with the resulting dh.

Step by step: docs/maths.md, section 6.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense, init_dense
from jaxrnn.layers.gru import GRUCarry, GRUParams, gru_carry, gru_input_projection, gru_recurrence, init_gru
from jaxrnn.layers.lstm import (
    LSTMCarry,
    LSTMParams,
    init_lstm,
    lstm_carry,
    lstm_input_projection,
    lstm_recurrence,
)
from jaxrnn.layers.rnn import RNNCarry, RNNParams, init_rnn, rnn_carry, rnn_input_projection, rnn_recurrence
from jaxrnn.layers.single_step import single_step
from jaxrnn.types import Array, Key, check_resets, check_sequence

CellParams = RNNParams | LSTMParams | GRUParams
CellCarry = RNNCarry | LSTMCarry | GRUCarry


class _Cell(NamedTuple):
    init: Callable[..., CellParams]
    carry: Callable[..., CellCarry]
    input_projection: Callable[..., Array]
    recurrence: Callable[..., tuple[CellCarry, Array]]


# The recurrent layers that a block can have, by name and by the type of their parameters.
_PARAMS = {"rnn": RNNParams, "lstm": LSTMParams, "gru": GRUParams}
_CELLS = {
    RNNParams: _Cell(init_rnn, rnn_carry, rnn_input_projection, rnn_recurrence),
    LSTMParams: _Cell(init_lstm, lstm_carry, lstm_input_projection, lstm_recurrence),
    GRUParams: _Cell(init_gru, gru_carry, gru_input_projection, gru_recurrence),
}


class RNNBlockParams(NamedTuple):
    """The parameters of a residual block; which cell it has is the type of its first field."""

    cell: CellParams
    dense: DenseParams


def init_rnn_block(key: Key, size: int, cell: str = "lstm", dtype: DTypeLike = jnp.float32) -> RNNBlockParams:
    """Draw a block of one `size` throughout; `cell` is `"rnn"`, `"lstm"` or `"gru"`."""
    key_cell, key_dense = jax.random.split(key)
    return RNNBlockParams(
        cell=_CELLS[_PARAMS[cell]].init(key_cell, size, size, dtype),
        dense=init_dense(key_dense, size, size, dtype),
    )


def rnn_block_carry(params: RNNBlockParams, batch_size: int) -> CellCarry:
    """Return the carry of the block's cell: zeros, `[batch_size, size]` each."""
    return _CELLS[type(params.cell)].carry(params.cell, batch_size)


def rnn_block(
    params: RNNBlockParams, carry: CellCarry, xs: Array, *, resets: Array | None = None
) -> tuple[CellCarry, Array]:
    """Run a residual block over a sequence: `xs + dense(cell(xs))`.

    Reverse mode only: the backward passes of its parts are `custom_vjp` functions.

    Args:
        params: `RNNBlockParams(cell, dense)`, all of one size.
        carry: the carry of its cell, `RNNCarry`, `LSTMCarry` or `GRUCarry`, each field `[batch, size]`.
        xs: `[time, batch, size]`.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The carry after the last step, and the sums `[time, batch, size]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rnn_block(jax.random.key(0), size=4, cell="gru")
        >>> carry, ys = rnn_block(params, rnn_block_carry(params, batch_size=2), jnp.ones((5, 2, 4)))
        >>> ys.shape
        (5, 2, 4)
    """
    check_sequence("rnn_block", xs, params.cell.w_x, params.cell.w_h.shape[0], carry)
    check_resets("rnn_block", resets, xs)
    return rnn_block_recurrence(params, carry, xs, rnn_block_input_projection(params, xs), resets)


def rnn_block_step(
    params: RNNBlockParams, carry: CellCarry, x: Array, *, reset: Array | None = None
) -> tuple[CellCarry, Array]:
    """Run a residual block for one time step.

    Args:
        params: as for `rnn_block`.
        carry: as for `rnn_block`, the state before the step.
        x: `[batch, size]`.
        reset: bool `[batch]`, whether the state is reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the sum `[batch, size]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_rnn_block(jax.random.key(0), size=4, cell="gru")
        >>> carry, y = rnn_block_step(params, rnn_block_carry(params, batch_size=2), jnp.ones((2, 4)))
        >>> y.shape
        (2, 4)
    """
    return single_step(rnn_block, params, carry, x, reset)


def rnn_block_input_projection(params: RNNBlockParams, xs: Array) -> Array:
    """Return the cell's input projection of `xs`: `[..., size]` to `[..., gates * size]`."""
    return _CELLS[type(params.cell)].input_projection(params.cell, xs)


@jax.custom_vjp
def rnn_block_recurrence(
    params: RNNBlockParams, carry: CellCarry, xs: Array, zs: Array, resets: Array | None = None
) -> tuple[CellCarry, Array]:
    """Run the block over inputs `xs` and their projections `zs`; returns what `rnn_block` returns."""
    carry, hs = _CELLS[type(params.cell)].recurrence(params.cell, carry, zs, resets)
    return carry, xs + dense(params.dense, hs)


# The backward passes of the two parts, each with its residuals.
_Residuals = tuple[Callable[..., tuple[Any, ...]], Callable[..., tuple[Any, ...]]]


def _rnn_block_fwd(
    params: RNNBlockParams, carry: CellCarry, xs: Array, zs: Array, resets: Array | None
) -> tuple[tuple[CellCarry, Array], _Residuals]:
    recurrence = partial(_CELLS[type(params.cell)].recurrence, resets=resets)
    (carry, hs), cell_bwd = jax.vjp(recurrence, params.cell, carry, zs)
    ys, dense_bwd = jax.vjp(dense, params.dense, hs)
    return (carry, xs + ys), (cell_bwd, dense_bwd)


def _rnn_block_bwd(
    residuals: _Residuals, cotangents: tuple[CellCarry, Array]
) -> tuple[RNNBlockParams, CellCarry, Array, Array, None]:
    """First the dense layer, then the cell with the resulting dh; the skip connection passes dy on unchanged."""
    cell_bwd, dense_bwd = residuals
    d_carry, d_ys = cotangents
    d_dense, d_hs = dense_bwd(d_ys)
    d_cell, d_carry_0, d_zs = cell_bwd((d_carry, d_hs))
    return RNNBlockParams(d_cell, d_dense), d_carry_0, d_ys, d_zs, None


rnn_block_recurrence.defvjp(_rnn_block_fwd, _rnn_block_bwd)
