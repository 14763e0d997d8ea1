"""The layers as `jaxrnn.gradcheck.check` checks them: arguments, how a layer is called with them, the NumPy gradient.

All arrays are drawn in float64: to be called under JAX's 64-bit setting.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import reference
from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.gradcheck import plain
from jaxrnn.layers import losses
from jaxrnn.layers.block import CellCarry, CellParams, RNNBlockParams, rnn_block
from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.dropout import dropout
from jaxrnn.layers.embedding import EmbeddingParams, embedding
from jaxrnn.layers.gru import GRUCarry, GRUParams, gru
from jaxrnn.layers.lstm import LSTMCarry, LSTMParams, lstm
from jaxrnn.layers.mogrifier import MogrifierLSTMParams, MogrifierRound, mogrifier_lstm
from jaxrnn.layers.rnn import RNNCarry, RNNParams, rnn
from jaxrnn.models import stack
from jaxrnn.types import Array


class Sizes(NamedTuple):
    """The sizes to check at; all different, so that two axes that were swapped can't agree by chance.

    With fewer characters in the vocabulary than positions, some token is repeated.
    """

    seq_len: int = 4
    batch_size: int = 3
    input_size: int = 2
    hidden_size: int = 5
    vocabulary_size: int = 6


class Arguments(NamedTuple):
    """What a layer is differentiated by; `()` where it has none."""

    params: Any = ()
    carry: Any = ()
    xs: Any = ()
    logits: Any = ()


Outputs = Any


class Case(NamedTuple):
    """One layer at certain arguments.

    `call` gives a layer function, hand-derived or plain, the arguments in its own order, and with them
    what has no gradient (ids, keys). `reference` is the NumPy gradient: (arguments, cotangents of the
    outputs) to cotangents of the arguments.
    """

    name: str
    arguments: Arguments
    call: Callable[[Callable[..., Outputs], Arguments], Outputs]
    reference: Callable[[Arguments, Outputs], Arguments]


class OnTrial(NamedTuple):
    """A layer as checked: the function on trial, its plain twin, and the cases to check."""

    function: Callable[..., Outputs]
    plain: Callable[..., Outputs]
    cases: Callable[[np.random.Generator, Sizes], list[Case]]


def _embedding_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    ids = _ids(rng, sizes).T
    ids[-1] = ids[0]  # so that some token is repeated however many there are

    def gradient(arguments: Arguments, d_xs: Any) -> Arguments:
        _, residuals = reference.embedding_forward(arguments.params, ids)
        return Arguments(params=reference.embedding_backward(arguments.params, residuals, d_xs))

    def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
        return function(arguments.params, jnp.asarray(ids))

    params = EmbeddingParams(normal(rng, sizes.vocabulary_size, sizes.input_size))
    return [Case("embedding", Arguments(params=params), call, gradient)]


def _dense_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    def gradient(arguments: Arguments, d_ys: Any) -> Arguments:
        _, residuals = reference.dense_forward(arguments.params, arguments.xs)
        d_params, d_xs = reference.dense_backward(arguments.params, residuals, d_ys)
        return Arguments(params=d_params, xs=d_xs)

    arguments = Arguments(params=_dense_params(rng, sizes.input_size, sizes.hidden_size), xs=_xs(rng, sizes))
    return [Case("dense", arguments, lambda function, a: function(a.params, a.xs), gradient)]


def _dropout_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    key, rate = jax.random.key(0), 0.5

    def case(name: str, steps: int, variational: bool) -> Case:
        def gradient(arguments: Arguments, d_ys: Any) -> Arguments:
            ones = jnp.ones((steps, *arguments.xs.shape[1:]))
            mask = np.asarray(plain.dropout(key, rate, ones))
            _, residuals = reference.dropout_forward(mask, arguments.xs)
            return Arguments(xs=reference.dropout_backward(residuals, d_ys))

        def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
            return function(key, rate, arguments.xs, variational=variational)

        return Case(name, Arguments(xs=_xs(rng, sizes)), call, gradient)

    return [case("dropout", sizes.seq_len, False), case("dropout (variational)", 1, True)]


def _cell_cases(cell: str) -> Callable[[np.random.Generator, Sizes], list[Case]]:
    _, forward, backward = reference.CELLS[cell]

    def cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
        params = _cell_params(rng, cell, sizes.input_size, sizes.hidden_size)
        arguments = Arguments(params, _cell_carry(rng, cell, sizes), _xs(rng, sizes))
        return [
            _case(cell, arguments, forward, backward),
            _case(f"{cell} (resets)", arguments, forward, backward, resets=_resets(sizes)),
        ]

    return cases


def _case(
    name: str,
    arguments: Arguments,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    resets: Any = None,
) -> Case:
    """A recurrent layer whose only option is where its state is emptied; forward and backward are NumPy's."""

    def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
        _, _, residuals = forward(*_sequence(arguments), resets=resets)
        return Arguments(*backward(arguments.params, residuals, *cotangents))

    def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
        return function(*_sequence(arguments), **({} if resets is None else {"resets": jnp.asarray(resets)}))

    return Case(name, arguments, call, gradient)


def _resets(sizes: Sizes) -> Any:
    """Bool `[time, batch]`: of the first stream at every other step, of the next at the others, and so on."""
    return np.indices((sizes.seq_len, sizes.batch_size)).sum(axis=0) % 2 == 0


def _lstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """The LSTM as it is, and with its two options."""
    arguments = Arguments(
        _cell_params(rng, "lstm", sizes.input_size, sizes.hidden_size),
        _cell_carry(rng, "lstm", sizes),
        _xs(rng, sizes),
    )
    forward_backward = reference.lstm_forward, reference.lstm_backward
    return _with_options("lstm", arguments, _state_mask(rng, sizes), _resets(sizes), *forward_backward)


def _mogrifier_lstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """Of full and of low rank, an even and an odd number of rounds, and with the LSTM's options."""
    input_size, hidden_size = sizes.input_size, sizes.hidden_size
    forward_backward = reference.mogrifier_lstm_forward, reference.mogrifier_lstm_backward

    def arguments(rounds: int, rank: int) -> Arguments:
        weights = []
        for number in range(rounds):
            source, target = (input_size, hidden_size) if number % 2 else (hidden_size, input_size)
            w_in = normal(rng, source, rank) / 2 if rank else None  # smaller: differences want gentle curves
            weights.append(MogrifierRound(normal(rng, rank or source, target) / 2, w_in))
        w_x, w_h, b = _cell_params(rng, "lstm", input_size, hidden_size)[:3]
        params = MogrifierLSTMParams(w_x, w_h, b, tuple(weights))
        return Arguments(params, _cell_carry(rng, "lstm", sizes), _xs(rng, sizes))

    mask, resets = _state_mask(rng, sizes), _resets(sizes)
    full, low = arguments(4, 0), arguments(3, 1)
    return [
        *_with_options("mogrifier_lstm", full, mask, resets, *forward_backward)[:1],
        *_with_options("mogrifier_lstm, low rank", low, mask, resets, *forward_backward),
    ]


def _with_options(
    name: str,
    arguments: Arguments,
    mask: Array,
    resets: Any,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
) -> list[Case]:
    """Cases of an LSTM without options, with a mask on its state, and with resets."""

    def case(name: str, mask: Array | None = None, resets: Any = None) -> Case:
        def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
            factors = 1.0 if mask is None else np.asarray(mask)
            _, _, residuals = forward(*_sequence(arguments), factors, resets)
            return Arguments(*backward(arguments.params, residuals, *cotangents, factors))

        def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
            where = None if resets is None else jnp.asarray(resets)
            return function(*_sequence(arguments), mask=mask, resets=where)

        return Case(name, arguments, call, gradient)

    return [
        case(name),
        case(f"{name} (recurrent_dropout)", mask=mask),
        case(f"{name} (resets)", resets=resets),
    ]


def _state_mask(rng: np.random.Generator, sizes: Sizes) -> Array:
    """Zeros and twos `[batch, hidden]`, both among them."""
    mask = 2.0 * rng.integers(2, size=(sizes.batch_size, sizes.hidden_size))
    mask.flat[0], mask.flat[-1] = 0, 2
    return jnp.asarray(mask)


def _rnn_block_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    def case(cell: str, option: str = "", resets: Any = None) -> Case:
        forward_backward = (
            partial(reference.rnn_block_forward, cell),
            partial(reference.rnn_block_backward, cell),
        )
        size = sizes.hidden_size
        params = RNNBlockParams(_cell_params(rng, cell, size, size), _dense_params(rng, size, size))
        xs = normal(rng, sizes.seq_len, sizes.batch_size, size)
        arguments = Arguments(params, _cell_carry(rng, cell, sizes), xs)
        return _case(f"rnn_block ({cell}{option})", arguments, *forward_backward, resets)

    return [*(case(cell) for cell in reference.CELLS), case("lstm", ", resets", _resets(sizes))]


def _softmax_cross_entropy_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    targets = _ids(rng, sizes)

    def gradient(arguments: Arguments, d_losses: Any) -> Arguments:
        _, residuals = reference.softmax_cross_entropy_forward(arguments.logits, targets)
        return Arguments(logits=reference.softmax_cross_entropy_backward(residuals, d_losses))

    def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
        return function(arguments.logits, jnp.asarray(targets))

    logits = normal(rng, *targets.shape, sizes.vocabulary_size)
    return [Case("softmax_cross_entropy", Arguments(logits=logits), call, gradient)]


def _projected_table_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """A small model each: where positions outnumber the vocabulary, `stack.apply` projects the table (see there)."""
    tokens = _ids(rng, sizes)
    hidden_size, vocabulary_size = sizes.hidden_size, sizes.vocabulary_size

    def case(layer: RNNConfig | LSTMConfig | GRUConfig | RNNBlockConfig, cell: str) -> Case:
        in_block = isinstance(layer, RNNBlockConfig)
        input_size = hidden_size if in_block else sizes.input_size
        config = ModelConfig(layers=(EmbeddingConfig(size=input_size), layer, DenseConfig()))

        def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
            args = config.layers, arguments.params
            _, _, residuals = reference.model_forward(*args, arguments.carry, tokens)
            return Arguments(*reference.model_backward(*args, residuals, *cotangents))

        def call(function: Callable[..., Outputs], arguments: Arguments) -> Outputs:
            return function(config, arguments.params, arguments.carry, jnp.asarray(tokens))

        cell_params = _cell_params(rng, cell, input_size, hidden_size)
        params = (
            EmbeddingParams(normal(rng, vocabulary_size, input_size)),
            RNNBlockParams(cell_params, _dense_params(rng, hidden_size, hidden_size))
            if in_block
            else cell_params,
            _dense_params(rng, hidden_size, vocabulary_size),
        )
        arguments = Arguments(params, ((), _cell_carry(rng, cell, sizes), ()))
        return Case(f"projected_table ({layer.type})", arguments, call, gradient)

    return [
        case(RNNConfig(size=hidden_size), "rnn"),
        case(LSTMConfig(size=hidden_size), "lstm"),
        case(GRUConfig(size=hidden_size), "gru"),
        case(RNNBlockConfig(cell="lstm"), "lstm"),
    ]


def _sequence(arguments: Arguments) -> tuple[Any, Any, Any]:
    return arguments.params, arguments.carry, arguments.xs


def _ids(rng: np.random.Generator, sizes: Sizes) -> Any:
    """Token ids `[batch, time]`."""
    return rng.integers(sizes.vocabulary_size, size=(sizes.batch_size, sizes.seq_len), dtype=np.int32)


def _xs(rng: np.random.Generator, sizes: Sizes) -> Array:
    return normal(rng, sizes.seq_len, sizes.batch_size, sizes.input_size)


def _dense_params(rng: np.random.Generator, input_size: int, size: int) -> DenseParams:
    return DenseParams(w=normal(rng, input_size, size), b=normal(rng, size))


def _cell_params(rng: np.random.Generator, cell: str, input_size: int, hidden_size: int) -> CellParams:
    def drawn(gates: int) -> tuple[Array, Array, Array]:
        width = gates * hidden_size
        return normal(rng, input_size, width), normal(rng, hidden_size, width), normal(rng, width)

    if cell == "rnn":
        return RNNParams(*drawn(1))
    if cell == "lstm":
        return LSTMParams(*drawn(4))
    return GRUParams(*drawn(3), b_n=normal(rng, hidden_size))


def _cell_carry(rng: np.random.Generator, cell: str, sizes: Sizes) -> CellCarry:
    h, c = (normal(rng, sizes.batch_size, sizes.hidden_size) for _ in range(2))
    if cell == "lstm":
        return LSTMCarry(h, c)
    return RNNCarry(h) if cell == "rnn" else GRUCarry(h)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Normal numbers, in float64 under JAX's 64-bit setting."""
    return jnp.asarray(rng.standard_normal(shape))


# Every layer that `check_gradients` knows, by name.
ON_TRIAL = {
    "embedding": OnTrial(embedding, plain.embedding, _embedding_cases),
    "dense": OnTrial(dense, plain.dense, _dense_cases),
    "dropout": OnTrial(dropout, plain.dropout, _dropout_cases),
    "rnn": OnTrial(rnn, plain.rnn, _cell_cases("rnn")),
    "lstm": OnTrial(lstm, plain.lstm, _lstm_cases),
    "mogrifier_lstm": OnTrial(mogrifier_lstm, plain.mogrifier_lstm, _mogrifier_lstm_cases),
    "gru": OnTrial(gru, plain.gru, _cell_cases("gru")),
    "rnn_block": OnTrial(rnn_block, plain.rnn_block, _rnn_block_cases),
    "softmax_cross_entropy": OnTrial(
        losses.softmax_cross_entropy, plain.softmax_cross_entropy, _softmax_cross_entropy_cases
    ),
    "projected_table": OnTrial(stack.apply, plain.apply, _projected_table_cases),
}
