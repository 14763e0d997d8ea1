"""The table of layers: how a stack makes and runs each, by the type that it has in a config.

A new layer joins a stack with its row here and its class in `jaxrnn/config/model.py` (CONTRIBUTING.md).
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from jax.typing import DTypeLike

from jaxrnn.config import LayerConfig
from jaxrnn.layers.block import (
    init_rnn_block,
    rnn_block_carry,
    rnn_block_input_projection,
    rnn_block_recurrence,
)
from jaxrnn.layers.causal_conv import causal_conv, causal_conv_carry, init_causal_conv
from jaxrnn.layers.dense import dense, init_dense
from jaxrnn.layers.dropout import dropout, dropout_mask
from jaxrnn.layers.embedding import embedding, init_embedding
from jaxrnn.layers.gated_mlp import gated_mlp, init_gated_mlp
from jaxrnn.layers.gru import gru_carry, gru_gates, gru_input_projection, gru_recurrence, init_gru
from jaxrnn.layers.lstm import (
    init_lstm,
    lstm_carry,
    lstm_gates,
    lstm_input_projection,
    lstm_recurrence,
)
from jaxrnn.layers.min_gru import (
    init_min_gru,
    min_gru_carry,
    min_gru_gates,
    min_gru_input_projection,
    min_gru_recurrence,
)
from jaxrnn.layers.min_lstm import (
    init_min_lstm,
    min_lstm_carry,
    min_lstm_gates,
    min_lstm_input_projection,
    min_lstm_recurrence,
)
from jaxrnn.layers.mlstm import (
    init_mlstm,
    mlstm_carry,
    mlstm_gates,
    mlstm_input_projection,
    mlstm_memory,
)
from jaxrnn.layers.mogrifier import init_mogrifier_lstm, mogrifier_lstm, mogrifier_lstm_gates
from jaxrnn.layers.rg_lru import (
    init_rg_lru,
    rg_lru_carry,
    rg_lru_gates,
    rg_lru_input_projection,
    rg_lru_recurrence,
)
from jaxrnn.layers.rms_norm import init_rms_norm, rms_norm
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
    initial_carry: Callable[..., Carry] = lambda **_: ()  # config, params, batch_size -> zeros
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
        initial_carry=lambda params, batch_size, **_: rnn_carry(params, batch_size),
        input_projection=rnn_input_projection,
    ),
    "lstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_lstm(key, input_size, config.size, dtype),
        apply=lambda config, params, carry, projected, key, resets, **_: lstm_recurrence(
            params, carry, projected, resets, _mask(config, key, carry)
        ),
        initial_carry=lambda params, batch_size, **_: lstm_carry(params, batch_size),
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
        initial_carry=lambda params, batch_size, **_: lstm_carry(params, batch_size),
        gates=lambda params, carry, xs, **_: mogrifier_lstm_gates(params, carry, xs),
    ),
    "gru": Layer(
        init=lambda key, config, input_size, dtype, **_: init_gru(key, input_size, config.size, dtype),
        apply=lambda params, carry, projected, resets, **_: gru_recurrence(params, carry, projected, resets),
        initial_carry=lambda params, batch_size, **_: gru_carry(params, batch_size),
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
        initial_carry=lambda params, batch_size, **_: slstm_carry(params, batch_size),
        input_projection=slstm_input_projection,
        gates=lambda params, carry, xs, **_: slstm_gates(params, carry, xs),
    ),
    "mlstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_mlstm(
            key, input_size, config.size, config.heads, dtype
        ),
        apply=lambda config, params, carry, projected, resets, **_: mlstm_memory(
            params, carry, projected, resets, config.chunk
        ),
        initial_carry=lambda params, batch_size, **_: mlstm_carry(params, batch_size),
        input_projection=mlstm_input_projection,
        gates=lambda params, carry, xs, **_: mlstm_gates(params, carry, xs),
    ),
    "min_gru": Layer(
        init=lambda key, config, input_size, dtype, **_: init_min_gru(key, input_size, config.size, dtype),
        apply=lambda carry, projected, resets, **_: min_gru_recurrence(carry, projected, resets),
        initial_carry=lambda params, batch_size, **_: min_gru_carry(params, batch_size),
        input_projection=min_gru_input_projection,
        gates=lambda params, xs, **_: min_gru_gates(params, xs),
    ),
    "min_lstm": Layer(
        init=lambda key, config, input_size, dtype, **_: init_min_lstm(key, input_size, config.size, dtype),
        apply=lambda carry, projected, resets, **_: min_lstm_recurrence(carry, projected, resets),
        initial_carry=lambda params, batch_size, **_: min_lstm_carry(params, batch_size),
        input_projection=min_lstm_input_projection,
        gates=lambda params, xs, **_: min_lstm_gates(params, xs),
    ),
    "rg_lru": Layer(
        init=lambda key, config, input_size, dtype, **_: init_rg_lru(
            key, input_size, config.min_decay, dtype
        ),
        apply=lambda params, carry, xs, projected, resets, **_: rg_lru_recurrence(
            params, carry, xs, projected, resets
        ),
        initial_carry=lambda params, batch_size, **_: rg_lru_carry(params, batch_size),
        input_projection=rg_lru_input_projection,
        gates=lambda params, xs, **_: rg_lru_gates(params, xs),
    ),
    "rms_norm": Layer(
        init=lambda input_size, dtype, **_: init_rms_norm(input_size, dtype=dtype),
        apply=lambda params, xs, **_: ((), rms_norm(params, xs)),
    ),
    "gated_mlp": Layer(
        init=lambda key, config, input_size, dtype, **_: init_gated_mlp(
            key, input_size, config.hidden, dtype
        ),
        apply=lambda params, xs, **_: ((), gated_mlp(params, xs)),
    ),
    "causal_conv": Layer(
        init=lambda key, config, input_size, dtype, **_: init_causal_conv(
            key, input_size, config.width, dtype
        ),
        apply=lambda params, carry, xs, resets, **_: causal_conv(params, carry, xs, resets=resets),
        initial_carry=lambda params, batch_size, **_: causal_conv_carry(params, batch_size),
    ),
    "residual": Layer(
        init=lambda key, config, input_size, vocabulary_size, dtype: init_layers(
            key, config.layers, input_size, vocabulary_size, dtype
        ),
        apply=lambda config, params, carry, xs, key, resets, **_: _add_to_input(
            xs, *apply_layers(config.layers, params, carry, xs, key=key, resets=resets)
        ),
        initial_carry=lambda config, params, batch_size: initial_carries(config.layers, params, batch_size),
    ),
    "rnn_block": Layer(
        init=lambda key, config, input_size, dtype, **_: init_rnn_block(key, input_size, config.cell, dtype),
        apply=lambda params, carry, xs, projected, resets, **_: rnn_block_recurrence(
            params, carry, xs, projected, resets
        ),
        initial_carry=lambda params, batch_size, **_: rnn_block_carry(params, batch_size),
        input_projection=rnn_block_input_projection,
        gates=lambda config, params, carry, xs: LAYERS[config.cell].gates(
            config=config, params=params.cell, carry=carry, xs=xs
        ),
    ),
}


def _add_to_input(xs: Array, carry: Carry, ys: Array) -> tuple[Carry, Array]:
    return carry, xs + ys


def init_layers(
    key: Key, layers: Sequence[LayerConfig], input_size: int, vocabulary_size: int, dtype: DTypeLike
) -> Params:
    """Draw the parameters of consecutive layers: a tuple with one entry a layer, `()` for one without any."""
    params = []
    size = input_size
    for layer_key, layer in zip(jax.random.split(key, len(layers)), layers, strict=True):
        drawn = LAYERS[layer.type].init(
            key=layer_key, config=layer, input_size=size, vocabulary_size=vocabulary_size, dtype=dtype
        )
        params.append(drawn)
        size = layer.output_size(size)
    return tuple(params)


def initial_carries(layers: Sequence[LayerConfig], params: Params, batch_size: int) -> Carry:
    """Return the carries before the first step: zeros, a tuple with one entry a layer."""
    return tuple(
        LAYERS[layer.type].initial_carry(config=layer, params=p, batch_size=batch_size)
        for layer, p in zip(layers, params, strict=True)
    )


def apply_layers(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    xs: Array,
    *,
    projected: Mapping[int, Array] = MappingProxyType({}),
    key: Key | None = None,
    resets: Array | None = None,
    inputs: list[Array] | None = None,
) -> tuple[Carry, Array]:
    """Run layers one after the other, time-major.

    Args:
        layers: their entries of the config's list.
        params: one entry a layer.
        carry: one entry a layer.
        xs: what the first one reads.
        projected: the input projections that are known already, by the number of the layer.
        key: for dropout; None drops nothing. Or keys `[batch]`, one for each sequence.
        resets: as for `apply_layer`.
        inputs: gets what each layer reads.

    Returns:
        The carry after the last step, and the last layer's outputs.
    """
    carry_out = []
    for index, (layer, layer_params, layer_carry) in enumerate(zip(layers, params, carry, strict=True)):
        if inputs is not None:
            inputs.append(xs)
        with jax.named_scope(f"{index}_{layer.type}"):  # what a profile calls its operations
            layer_carry, xs = apply_layer(
                layer,
                layer_params,
                layer_carry,
                xs,
                projected=projected.get(index),
                key=None if key is None else _fold_in(key, index),
                resets=resets,
            )
        carry_out.append(layer_carry)
    return tuple(carry_out), xs


def _fold_in(key: Key, number: int) -> Key:
    """Another key for each number; of each key where there are several."""
    fold_in = jax.random.fold_in if key.ndim == 0 else jax.vmap(jax.random.fold_in, (0, None))
    folded: Key = fold_in(key, number)
    return folded


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
