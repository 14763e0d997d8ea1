"""The table of layers: how a stack makes and runs each, by the type that it has in a config.

A new layer joins a stack with its row here and its class in `jaxrnn/config/schema.py` (CONTRIBUTING.md).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrnn.config import LayerConfig
from jaxrnn.layers.block import (
    init_rnn_block,
    rnn_block_carry,
    rnn_block_input_projection,
    rnn_block_recurrence,
)
from jaxrnn.layers.dense import dense, init_dense
from jaxrnn.layers.dropout import dropout, dropout_mask
from jaxrnn.layers.embedding import embedding, init_embedding
from jaxrnn.layers.gru import gru_carry, gru_gates, gru_input_projection, gru_recurrence, init_gru
from jaxrnn.layers.lstm import (
    init_lstm,
    lstm_carry,
    lstm_gates,
    lstm_input_projection,
    lstm_recurrence,
)
from jaxrnn.layers.mogrifier import init_mogrifier_lstm, mogrifier_lstm, mogrifier_lstm_gates
from jaxrnn.layers.rnn import init_rnn, rnn_carry, rnn_input_projection, rnn_recurrence
from jaxrnn.layers.slstm import init_slstm, slstm_carry, slstm_gates, slstm_input_projection, slstm_recurrence
from jaxrnn.types import Array, Carry, Key, Params


class Layer(NamedTuple):
    """A row of the table. Its functions are called with the arguments below by name, and ignore those they don't need.

    `config` is the layer's entry of the config's list, `key` None where nothing is dropped, `projected` what
    `input_projection` returns, and `resets`, bool `[time, batch]` or None, whether the state is reset before a step.
    """

    init: Callable[..., Params]  # key, config, input_size, vocabulary_size, dtype
    # config, params, carry, xs, projected, key, resets -> (carry, ys)
    apply: Callable[..., tuple[Carry, Array]]
    initial_carry: Callable[..., Carry] = lambda **_: ()  # params, batch_size -> zeros
    input_projection: Callable[..., Array] | None = (
        None  # params, xs: the part that comes before the time loop
    )
    # config, params, carry and xs `[..., units]` of any steps -> gates by name, for `jaxrnn.inspection`
    gates: Callable[..., dict[str, Array]] = lambda **_: {}


def _mask(config: Any, key: Key | None, carry: Carry) -> Array | None:
    rate = config.recurrent_dropout
    return None if key is None or rate == 0 else dropout_mask(key, rate, carry.h)


LAYERS: dict[str, Layer] = {
    "embedding": Layer(
        init=lambda key, config, vocabulary_size, dtype, **_: init_embedding(
            key, vocabulary_size, config.size, dtype
        ),
        apply=lambda params, xs, **_: ((), embedding(params, xs)),
    ),
    "dense": Layer(
        init=lambda key, config, input_size, vocabulary_size, dtype: init_dense(
            key, input_size, config.size or vocabulary_size, dtype
        ),
        apply=lambda params, xs, **_: ((), dense(params, xs)),
    ),
    "dropout": Layer(
        init=lambda **_: (),
        apply=lambda config, xs, key, **_: (
            (),
            dropout(key, config.rate, xs, variational=config.variational),
        ),
    ),
    "rnn": Layer(
        init=lambda key, config, input_size, dtype, **_: init_rnn(key, input_size, config.size, dtype),
        apply=lambda params, carry, projected, resets, **_: rnn_recurrence(params, carry, projected, resets),
        initial_carry=rnn_carry,
        input_projection=rnn_input_projection,
    ),
    "lstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_lstm(key, input_size, config.size, dtype),
        apply=lambda config, params, carry, projected, key, resets, **_: lstm_recurrence(
            params, carry, projected, resets, _mask(config, key, carry)
        ),
        initial_carry=lstm_carry,
        input_projection=lstm_input_projection,
        gates=lambda params, carry, xs, **_: lstm_gates(params, carry, xs),
    ),
    "mogrifier_lstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_mogrifier_lstm(
            key, input_size, config.size, config.rounds, config.rank, dtype
        ),
        apply=lambda config, params, carry, xs, key, resets, **_: mogrifier_lstm(
            params, carry, xs, mask=_mask(config, key, carry), resets=resets
        ),
        initial_carry=lstm_carry,
        gates=lambda params, carry, xs, **_: mogrifier_lstm_gates(params, carry, xs),
    ),
    "gru": Layer(
        init=lambda key, config, input_size, dtype, **_: init_gru(key, input_size, config.size, dtype),
        apply=lambda params, carry, projected, resets, **_: gru_recurrence(params, carry, projected, resets),
        initial_carry=gru_carry,
        input_projection=gru_input_projection,
        gates=lambda params, carry, xs, **_: gru_gates(params, carry, xs),
    ),
    "slstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_slstm(
            key, input_size, config.size, config.heads, dtype
        ),
        apply=lambda config, params, carry, projected, key, resets, **_: slstm_recurrence(
            params, carry, projected, resets, _mask(config, key, carry)
        ),
        initial_carry=slstm_carry,
        input_projection=slstm_input_projection,
        gates=lambda params, carry, xs, **_: slstm_gates(params, carry, xs),
    ),
    "rnn_block": Layer(
        init=lambda key, config, input_size, dtype, **_: init_rnn_block(key, input_size, config.cell, dtype),
        apply=lambda params, carry, xs, projected, resets, **_: rnn_block_recurrence(
            params, carry, xs, projected, resets
        ),
        initial_carry=rnn_block_carry,
        input_projection=rnn_block_input_projection,
        gates=lambda config, params, carry, xs: LAYERS[config.cell].gates(
            config=config, params=params.cell, carry=carry, xs=xs
        ),
    ),
}


def apply_layer(
    config: LayerConfig,
    params: Params,
    carry: Carry,
    xs: Array,
    *,
    projected: Array | None = None,
    key: Key | None = None,
    resets: Array | None = None,
) -> tuple[Carry, Array]:
    """Run one layer of a stack, time-major.

    Args:
        config: its entry of the config's list.
        params: its parameters.
        carry: its carry, `()` where it has none.
        xs: `[time, batch, input]`, or ids `[time, batch]` for an embedding.
        projected: the input projection of `xs`, where it is known already.
        key: for dropout; None drops nothing.
        resets: bool `[time, batch]`, whether the state is reset before a step; None is never.

    Returns:
        The carry after the last step, and the outputs `[time, batch, size]`.
    """
    layer = LAYERS[config.type]
    if projected is None and layer.input_projection is not None:
        projected = layer.input_projection(params=params, xs=xs)
    return layer.apply(
        config=config, params=params, carry=carry, xs=xs, projected=projected, key=key, resets=resets
    )
