"""The layers, and the registry that knows each by its name in a config.

| name        | forward and backward       |
|-------------|----------------------------|
| `embedding` | `layers/embedding.py`      |
| `dense`     | `layers/dense.py`          |
| `dropout`   | `layers/dropout.py`        |
| `rnn`       | `layers/rnn.py`            |
| `lstm`      | `layers/lstm.py`, or `layers/mogrifier.py` where it has `mogrifier_rounds` |
| `gru`       | `layers/gru.py`            |
| `rnn_block` | `layers/block.py`          |

A layer of a stack is four functions. `config` is its entry of the config's list.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax.typing import DTypeLike

from jaxrnn.config import LSTMConfig
from jaxrnn.layers.block import (
    init_rnn_block,
    rnn_block_carry,
    rnn_block_input_projection,
    rnn_block_recurrence,
)
from jaxrnn.layers.cells import CELLS, Cell
from jaxrnn.layers.dense import dense, init_dense
from jaxrnn.layers.dropout import dropout, dropout_mask
from jaxrnn.layers.embedding import embedding, init_embedding
from jaxrnn.layers.lstm import (
    LSTMCarry,
    LSTMParams,
    init_lstm,
    lstm_carry,
    lstm_input_projection,
    lstm_recurrence,
)
from jaxrnn.layers.mogrifier import MogrifierLSTMParams, init_mogrifier_lstm, mogrifier_lstm
from jaxrnn.types import Array, Carry, Key, Params


class Layer(NamedTuple):
    """What a stack needs to know of a layer, recurrent or not.

    `apply` takes the projection of `xs` where it is known already (see `model.py`), and None where it is not; and
    `resets`, bool `[time, batch]`, whether the state is reset before a step, or None where it never is.
    """

    init: Callable[..., Params]  # (key, config, input_size, vocabulary_size, dtype)
    apply: Callable[..., tuple[Carry, Array]]  # (config, params, carry, xs, zs, key, resets) -> (carry, ys)
    carry: Callable[[Params, int], Carry] = lambda _params, _batch_size: ()  # zeros to begin with
    # Recurrent layers: (params, xs) -> zs, or None where these do not come first
    input_projection: Callable[[Params, Array], Array | None] | None = None


def _recurrent(cell: Cell) -> Layer:
    def apply(
        _config: Any,
        params: Params,
        carry: Carry,
        xs: Array,
        zs: Array | None,
        _key: Any,
        resets: Array | None,
    ) -> tuple[Carry, Array]:
        return cell.recurrence(params, carry, cell.input_projection(params, xs) if zs is None else zs, resets)

    return Layer(
        init=lambda key, config, input_size, _, dtype: cell.init(key, input_size, config.size, dtype),
        apply=apply,
        carry=cell.carry,
        input_projection=cell.input_projection,
    )


def _init_lstm(
    key: Key, config: LSTMConfig, input_size: int, _vocabulary_size: int, dtype: DTypeLike
) -> LSTMParams | MogrifierLSTMParams:
    if config.mogrifier_rounds == 0:
        return init_lstm(key, input_size, config.size, dtype)
    rounds, rank = config.mogrifier_rounds, config.mogrifier_rank
    return init_mogrifier_lstm(key, input_size, config.size, rounds, rank, dtype)


def _apply_lstm(
    config: LSTMConfig,
    params: Params,
    carry: LSTMCarry,
    xs: Array,
    zs: Array | None,
    key: Key | None,
    resets: Array | None,
) -> tuple[LSTMCarry, Array]:
    rate = config.recurrent_dropout
    mask = None if key is None or rate == 0 else dropout_mask(key, rate, carry.h)
    if isinstance(params, MogrifierLSTMParams):
        return mogrifier_lstm(params, carry, xs, mask=mask, resets=resets)
    zs = lstm_input_projection(params, xs) if zs is None else zs
    return lstm_recurrence(params, carry, zs, resets, mask)


def _project_lstm(params: Params, xs: Array) -> Array | None:
    return lstm_input_projection(params, xs) if isinstance(params, LSTMParams) else None


LAYERS = {
    "embedding": Layer(
        init=lambda key, config, _, vocabulary_size, dtype: init_embedding(
            key, vocabulary_size, config.size, dtype
        ),
        apply=lambda _config, params, _carry, ids, _zs, _key, _resets: ((), embedding(params, ids)),
    ),
    "dense": Layer(
        init=lambda key, config, input_size, vocabulary_size, dtype: init_dense(
            key, input_size, config.size or vocabulary_size, dtype
        ),
        apply=lambda _config, params, _carry, xs, _zs, _key, _resets: ((), dense(params, xs)),
    ),
    "dropout": Layer(
        init=lambda _key, _config, _input_size, _vocabulary_size, _dtype: (),
        apply=lambda config, _params, _carry, xs, _zs, key, _resets: (
            (),
            dropout(key, config.rate, xs, variational=config.variational),
        ),
    ),
    "rnn": _recurrent(CELLS["rnn"]),
    "lstm": Layer(init=_init_lstm, apply=_apply_lstm, carry=lstm_carry, input_projection=_project_lstm),
    "gru": _recurrent(CELLS["gru"]),
    "rnn_block": Layer(
        init=lambda key, config, input_size, _, dtype: init_rnn_block(key, input_size, config.cell, dtype),
        apply=lambda _config, params, carry, xs, zs, _key, resets: rnn_block_recurrence(
            params, carry, xs, rnn_block_input_projection(params, xs) if zs is None else zs, resets
        ),
        carry=rnn_block_carry,
        input_projection=rnn_block_input_projection,
    ),
}
