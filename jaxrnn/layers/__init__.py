"""The layers, and the registry that knows each by its name in a config.

| name        | forward and backward       |
|-------------|----------------------------|
| `embedding` | `layers/embedding.py`      |
| `dense`     | `layers/dense.py`          |
| `dropout`   | `layers/dropout.py`        |
| `rnn`       | `layers/rnn.py`            |
| `lstm`      | `layers/lstm.py`           |
| `gru`       | `layers/gru.py`            |
| `rnn_block` | `layers/block.py`          |

A layer of a stack is four functions. `config` is its entry of the config's list.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrnn.layers.block import init_rnn_block, rnn_block_carry, rnn_block_project, rnn_block_recur
from jaxrnn.layers.cells import CELLS, Cell
from jaxrnn.layers.dense import dense, init_dense
from jaxrnn.layers.dropout import dropout
from jaxrnn.layers.embedding import embedding, init_embedding
from jaxrnn.types import Array, Carry, Params


class Layer(NamedTuple):
    """What a stack needs to know of a layer, recurrent or not.

    `apply` takes the projection of `xs` where it is known already (see `model.py`), and None where it is not.
    """

    init: Callable[..., Params]  # (key, config, input_size, vocabulary_size, dtype)
    apply: Callable[..., tuple[Carry, Array]]  # (config, params, carry, xs, zs, key) -> (carry, ys)
    carry: Callable[[Params, int], Carry] = lambda _params, _batch_size: ()  # zeros to begin with
    project: Callable[[Params, Array], Array] | None = None  # recurrent layers: (params, xs) -> zs


def _recurrent(cell: Cell) -> Layer:
    def apply(
        _config: Any, params: Params, carry: Carry, xs: Array, zs: Array | None, _key: Any
    ) -> tuple[Carry, Array]:
        return cell.recur(params, carry, cell.project(params, xs) if zs is None else zs)

    return Layer(
        init=lambda key, config, input_size, _, dtype: cell.init(key, input_size, config.size, dtype),
        apply=apply,
        carry=cell.carry,
        project=cell.project,
    )


LAYERS = {
    "embedding": Layer(
        init=lambda key, config, _, vocabulary_size, dtype: init_embedding(
            key, vocabulary_size, config.size, dtype
        ),
        apply=lambda _config, params, _carry, ids, _zs, _key: ((), embedding(params, ids)),
    ),
    "dense": Layer(
        init=lambda key, config, input_size, vocabulary_size, dtype: init_dense(
            key, input_size, config.size or vocabulary_size, dtype
        ),
        apply=lambda _config, params, _carry, xs, _zs, _key: ((), dense(params, xs)),
    ),
    "dropout": Layer(
        init=lambda _key, _config, _input_size, _vocabulary_size, _dtype: (),
        apply=lambda config, _params, _carry, xs, _zs, key: (
            (),
            dropout(key, config.rate, xs, variational=config.variational),
        ),
    ),
    "rnn": _recurrent(CELLS["rnn"]),
    "lstm": _recurrent(CELLS["lstm"]),
    "gru": _recurrent(CELLS["gru"]),
    "rnn_block": Layer(
        init=lambda key, config, input_size, _, dtype: init_rnn_block(key, input_size, config.cell, dtype),
        apply=lambda _config, params, carry, xs, zs, _key: rnn_block_recur(
            params, carry, xs, rnn_block_project(params, xs) if zs is None else zs
        ),
        carry=rnn_block_carry,
        project=rnn_block_project,
    ),
}
