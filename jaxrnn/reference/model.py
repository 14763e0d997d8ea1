"""A stack of layers that learns to predict the next character of a text, and then writes one.

The model is a list of layers as a config names them (`jaxrnn.config`: an embedding, recurrent layers, a
dense layer without size at the end). Parameters and carry are tuples with one entry a layer, `()` where a
layer has none.

    forward     all layers in order, from token ids to logits
    loss        cross-entropy with the character that came next, mean over all positions
    backward    all layers in reverse order; each computes the gradients of its parameters,
                and the cotangent of its inputs, which are the outputs of the layer below
    update      gradient descent or Adam

The text is read in chunks of T characters (truncated backpropagation through time): the state is carried
from chunk to chunk, so that the model remembers what stood before, but gradients stop at the cut, so that
memory and time stay bounded.

A corpus of many documents has a token that separates them. All states are reset just before that one is read:
a document depends on no other, and gradients stop there as well.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from jaxrnn.config import LayerConfig
from jaxrnn.reference.arrays import Array
from jaxrnn.reference.block import CELLS, Cell, init_rnn_block, rnn_block_backward, rnn_block_forward
from jaxrnn.reference.causal_conv import (
    CausalConvCarry,
    causal_conv_backward,
    causal_conv_forward,
    init_causal_conv,
)
from jaxrnn.reference.dense import dense_backward, dense_forward, init_dense
from jaxrnn.reference.dropout import draw_mask, dropout_backward, dropout_forward
from jaxrnn.reference.embedding import embedding_backward, embedding_forward, init_embedding
from jaxrnn.reference.gated_mlp import gated_mlp_backward, gated_mlp_forward, init_gated_mlp
from jaxrnn.reference.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from jaxrnn.reference.lstm import LSTMCarry, lstm_forward
from jaxrnn.reference.min_gru import MinGRUCarry, init_min_gru, min_gru_backward, min_gru_forward
from jaxrnn.reference.min_lstm import MinLSTMCarry, init_min_lstm, min_lstm_backward, min_lstm_forward
from jaxrnn.reference.mlstm import MLSTMCarry, init_mlstm, mlstm_backward, mlstm_forward
from jaxrnn.reference.mogrifier import (
    init_mogrifier_lstm,
    mogrifier_lstm_backward,
    mogrifier_lstm_forward,
)
from jaxrnn.reference.optimizer import adam, gradient_descent, init_adam, map_leaves
from jaxrnn.reference.rg_lru import RGLRUCarry, init_rg_lru, rg_lru_backward, rg_lru_forward
from jaxrnn.reference.rms_norm import init_rms_norm, rms_norm_backward, rms_norm_forward
from jaxrnn.reference.slstm import SLSTMCarry, init_slstm, slstm_backward, slstm_forward

Params: TypeAlias = tuple[Any, ...]  # one record a layer, () for dropout
Carry: TypeAlias = tuple[Any, ...]  # one record a layer, () for a layer without state


class Layer(NamedTuple):
    """A row of the table of layers. Its functions are called with the arguments below by name; `_` are the others."""

    init: Callable[..., Any]  # rng, config, input_size, vocabulary_size -> params
    # config, params, carry, xs, rng, resets -> carry, ys, residuals
    forward: Callable[..., tuple[Any, Array, Any]]
    # config, params, residuals, d_carry, d_ys -> d_params, d_carry, d_xs
    backward: Callable[..., tuple[Any, Any, Any]]
    initial_carry: Callable[..., Any] = lambda **_: ()  # config, params, batch_size -> zeros


def _recurrent(cell: Cell) -> Layer:
    return Layer(
        init=lambda rng, config, input_size, **_: cell.init(rng, input_size, config.size),
        forward=lambda params, carry, xs, resets, **_: cell.forward(params, carry, xs, resets),
        backward=lambda params, residuals, d_carry, d_ys, **_: cell.backward(
            params, residuals, d_carry, d_ys
        ),
        initial_carry=lambda params, batch_size, **_: _zeros(cell, params, batch_size),
    )


def _zeros(cell: Cell, params: Any, batch_size: int) -> Any:
    """All states zero, as before the first token of a text."""
    hidden_size = params.b.size // (params.w_h.shape[-1] // params.w_h.shape[-2])  # [H] for each gate
    return cell.carry(*(np.zeros((batch_size, hidden_size), params.w_h.dtype) for _ in cell.carry._fields))


def _with_mask(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the forward pass of an LSTM with a mask on its state where its config and `rng` ask for one."""

    def draw_and_run(
        config: Any,
        params: Any,
        carry: Any,
        xs: Array,
        rng: np.random.Generator | None,
        resets: Array | None,
    ) -> Any:
        mask: Array | float = 1.0
        if rng is not None and config.recurrent_dropout:
            mask = draw_mask(rng, config.recurrent_dropout, carry.h.shape).astype(xs.dtype)
        return forward(params, carry, xs, resets, mask)

    return draw_and_run


def _dropout_forward(config: Any, xs: Array, rng: np.random.Generator | None, **_: Any) -> Any:
    mask = None
    if rng is not None:
        mask = draw_mask(rng, config.rate, xs.shape, variational=config.variational).astype(xs.dtype)
    return (), *dropout_forward(mask, xs)


def _residual_forward(
    config: Any,
    params: Params,
    carry: Carry,
    xs: Array,
    rng: np.random.Generator | None,
    resets: Array | None,
) -> Any:
    """y = x + f(x), with f the layers inside."""
    carry, ys, residuals = _run(config.layers, params, carry, xs, rng, resets)
    return carry, xs + ys, residuals


def _residual_backward(config: Any, params: Params, residuals: list[Any], d_carry: Carry, d_ys: Array) -> Any:
    """x is used twice: d_x = d_y + (what the layers inside send back)."""
    d_params, d_carry, d_xs = _run_back(config.layers, params, residuals, d_carry, d_ys)
    return d_params, d_carry, d_ys + d_xs


def _stateless(gradients: tuple[Any, Array]) -> tuple[Any, Any, Array]:
    d_params, d_xs = gradients
    return d_params, (), d_xs


_MOGRIFIER = Cell(init_mogrifier_lstm, LSTMCarry, mogrifier_lstm_forward, mogrifier_lstm_backward)
_SLSTM = Cell(init_slstm, SLSTMCarry, slstm_forward, slstm_backward)
_MIN_GRU = Cell(init_min_gru, MinGRUCarry, min_gru_forward, min_gru_backward)
_MIN_LSTM = Cell(init_min_lstm, MinLSTMCarry, min_lstm_forward, min_lstm_backward)
_RG_LRU = Cell(init_rg_lru, RGLRUCarry, rg_lru_forward, rg_lru_backward)

# The layers by the type that they have in a config.
LAYERS: dict[str, Layer] = {
    "embedding": Layer(
        init=lambda rng, config, vocabulary_size, **_: init_embedding(rng, vocabulary_size, config.size),
        forward=lambda params, xs, **_: ((), *embedding_forward(params, xs)),
        backward=lambda params, residuals, d_ys, **_: (embedding_backward(params, residuals, d_ys), (), None),
    ),
    "dense": Layer(
        init=lambda rng, config, input_size, vocabulary_size: init_dense(
            rng, input_size, config.size or vocabulary_size
        ),
        forward=lambda params, xs, **_: ((), *dense_forward(params, xs)),
        backward=lambda params, residuals, d_ys, **_: _stateless(dense_backward(params, residuals, d_ys)),
    ),
    "dropout": Layer(
        init=lambda **_: (),
        forward=_dropout_forward,
        backward=lambda residuals, d_ys, **_: ((), (), dropout_backward(residuals, d_ys)),
    ),
    "rnn": _recurrent(CELLS["rnn"]),
    "lstm": _recurrent(CELLS["lstm"])._replace(forward=_with_mask(lstm_forward)),
    "mogrifier_lstm": _recurrent(_MOGRIFIER)._replace(
        init=lambda rng, config, input_size, **_: init_mogrifier_lstm(
            rng, input_size, config.size, config.rounds, config.rank
        ),
        forward=_with_mask(mogrifier_lstm_forward),
    ),
    "gru": _recurrent(CELLS["gru"]),
    "slstm": _recurrent(_SLSTM)._replace(
        init=lambda rng, config, input_size, **_: init_slstm(rng, input_size, config.size, config.heads),
        forward=_with_mask(slstm_forward),
    ),
    "mlstm": Layer(
        init=lambda rng, config, input_size, **_: init_mlstm(rng, input_size, config.size, config.heads),
        forward=lambda params, carry, xs, resets, **_: mlstm_forward(params, carry, xs, resets),
        backward=lambda params, residuals, d_carry, d_ys, **_: mlstm_backward(
            params, residuals, d_carry, d_ys
        ),
        initial_carry=lambda params, batch_size, **_: MLSTMCarry(
            np.zeros((batch_size, params.scale.size * params.scale.shape[1]), params.w_x.dtype)
        ),
    ),
    "min_gru": _recurrent(_MIN_GRU)._replace(
        initial_carry=lambda params, batch_size, **_: MinGRUCarry(
            np.zeros((batch_size, params.b.size // 2), params.b.dtype)
        )
    ),
    "min_lstm": _recurrent(_MIN_LSTM)._replace(
        initial_carry=lambda params, batch_size, **_: MinLSTMCarry(
            np.zeros((batch_size, params.b.size // 3), params.b.dtype)
        )
    ),
    "rg_lru": _recurrent(_RG_LRU)._replace(
        init=lambda rng, config, input_size, **_: init_rg_lru(rng, input_size, config.min_decay),
        initial_carry=lambda params, batch_size, **_: RGLRUCarry(
            np.zeros((batch_size, params.a_param.size), params.b.dtype)
        ),
    ),
    "rms_norm": Layer(
        init=lambda input_size, **_: init_rms_norm(input_size),
        forward=lambda params, xs, **_: ((), *rms_norm_forward(params, xs)),
        backward=lambda params, residuals, d_ys, **_: _stateless(rms_norm_backward(params, residuals, d_ys)),
    ),
    "gated_mlp": Layer(
        init=lambda rng, config, input_size, **_: init_gated_mlp(rng, input_size, config.hidden),
        forward=lambda params, xs, **_: ((), *gated_mlp_forward(params, xs)),
        backward=lambda params, residuals, d_ys, **_: _stateless(gated_mlp_backward(params, residuals, d_ys)),
    ),
    "causal_conv": Layer(
        init=lambda rng, config, input_size, **_: init_causal_conv(rng, input_size, config.width),
        forward=lambda params, carry, xs, resets, **_: causal_conv_forward(params, carry, xs, resets),
        backward=lambda params, residuals, d_carry, d_ys, **_: causal_conv_backward(
            params, residuals, d_carry, d_ys
        ),
        initial_carry=lambda params, batch_size, **_: CausalConvCarry(
            np.zeros((batch_size, params.taps[1:].size), params.taps.dtype)
        ),
    ),
    "residual": Layer(
        init=lambda rng, config, input_size, vocabulary_size: init_model(
            rng, config.layers, vocabulary_size, input_size
        ),
        forward=_residual_forward,
        backward=_residual_backward,
        initial_carry=lambda config, params, batch_size: initial_carry(config.layers, params, batch_size),
    ),
    "rnn_block": Layer(
        init=lambda rng, config, input_size, **_: init_rnn_block(rng, input_size, config.cell),
        forward=lambda config, params, carry, xs, resets, **_: rnn_block_forward(
            config.cell, params, carry, xs, resets
        ),
        backward=lambda config, params, residuals, d_carry, d_ys: rnn_block_backward(
            config.cell, params, residuals, d_carry, d_ys
        ),
        initial_carry=lambda config, params, batch_size: _zeros(CELLS[config.cell], params.cell, batch_size),
    ),
}


def init_model(
    rng: np.random.Generator, layers: Sequence[LayerConfig], vocabulary_size: int, input_size: int = 0
) -> Params:
    """First parameters, drawn from rng, in float64."""
    params: list[Any] = []
    size = input_size  # of what flows into the layer
    for layer in layers:
        init = LAYERS[layer.type].init
        params.append(init(rng=rng, config=layer, input_size=size, vocabulary_size=vocabulary_size))
        size = layer.output_size(size)
    return tuple(params)


def initial_carry(layers: Sequence[LayerConfig], params: Params, batch_size: int) -> Carry:
    """All states zero, as before the first token of a text."""
    return tuple(
        LAYERS[layer.type].initial_carry(config=layer, params=p, batch_size=batch_size)
        for layer, p in zip(layers, params, strict=True)
    )


def model_forward(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    tokens: Array,
    rng: np.random.Generator | None = None,
    resets: Array | None = None,
) -> tuple[Carry, Array, list[Any]]:
    """Token ids [B, T] -> the carry after them, logits [B, T, V], residuals (one entry a layer).

    Args:
        layers: the model.
        params: its parameters.
        carry: the state before these tokens.
        tokens: [B, T], integers.
        rng: draws the dropout masks; None: nothing is dropped.
        resets: [B, T], true where all states are reset before the token; None: nowhere.
    """
    resets = None if resets is None else resets.T
    carry, ys, residuals = _run(layers, params, carry, tokens.T, rng, resets)  # time first: [T, B, ...]
    return carry, ys.swapaxes(0, 1), residuals


def _run(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    xs: Array,
    rng: np.random.Generator | None,
    resets: Array | None,
) -> tuple[Carry, Array, list[Any]]:
    """Run layers one after the other, time-major: the carry, outputs, residuals."""
    new_carry: list[Any] = []
    residuals: list[Any] = []
    for layer, p, c in zip(layers, params, carry, strict=True):
        forward = LAYERS[layer.type].forward
        c, xs, r = forward(config=layer, params=p, carry=c, xs=xs, rng=rng, resets=resets)
        new_carry.append(c)
        residuals.append(r)
    return tuple(new_carry), xs, residuals


def model_backward(
    layers: Sequence[LayerConfig], params: Params, residuals: list[Any], d_carry: Carry, d_logits: Array
) -> tuple[Params, Carry]:
    """Walk back from the last layer to the first.

    Takes d_logits [B, T, V] and the cotangents of the last carry; returns the gradients of the
    parameters and of the first carry.
    """
    d_params, d_carry, _ = _run_back(layers, params, residuals, d_carry, d_logits.swapaxes(0, 1))
    return d_params, d_carry


def _run_back(
    layers: Sequence[LayerConfig], params: Params, residuals: list[Any], d_carry: Carry, d_ys: Array
) -> tuple[Params, Carry, Array]:
    """Walk back through layers; the gradients of parameters, of the first carry, and of what the first layer read."""
    d_params: list[Any] = []
    d_carry_before: list[Any] = []
    for layer, p, r, d_c in reversed(list(zip(layers, params, residuals, d_carry, strict=True))):
        backward = LAYERS[layer.type].backward
        # The cotangents of this layer's inputs are those of the outputs of the layer below.
        d_p, d_c, d_ys = backward(config=layer, params=p, residuals=r, d_carry=d_c, d_ys=d_ys)
        d_params.append(d_p)
        d_carry_before.append(d_c)
    return tuple(d_params[::-1]), tuple(d_carry_before[::-1]), d_ys


def loss_and_gradients(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    tokens: Array,
    targets: Array,
    rng: np.random.Generator | None = None,
    resets: Array | None = None,
) -> tuple[float, Params, Carry]:
    """Mean loss in nats a character, its gradients by the parameters, and the carry after these tokens.

    Args:
        layers: the model.
        params: its parameters.
        carry: the state before these tokens.
        tokens: [B, T], integers.
        targets: [B, T], the character after each token.
        rng: draws the dropout masks; None: nothing is dropped.
        resets: [B, T], true where all states are reset before the token; None: nowhere.
    """
    carry_after, logits, residuals = model_forward(layers, params, carry, tokens, rng, resets)
    losses, loss_residuals = softmax_cross_entropy_forward(logits, targets)
    # The mean gives each of its B * T terms the same say: 1 / (B * T).
    d_losses = np.full_like(losses, 1 / losses.size)
    d_logits = softmax_cross_entropy_backward(loss_residuals, d_losses)
    # Nothing after the cut speaks back to us: that is the truncation.
    d_carry_after = map_leaves(np.zeros_like, carry_after)
    gradients, _ = model_backward(layers, params, residuals, d_carry_after, d_logits)
    return float(losses.mean()), gradients, carry_after


def train(
    layers: Sequence[LayerConfig],
    params: Params,
    batches: Iterable[tuple[Array, Array]],
    learning_rate: float,
    *,
    optimizer: Literal["gradient_descent", "adam"] = "adam",
    rng: np.random.Generator | None = None,
    separator_id: int | None = None,
) -> tuple[Params, list[float]]:
    """Learn from (tokens, targets) batches, each [B, T], each continuing where the previous one ended.

    Args:
        layers: the model.
        params: its first parameters.
        batches: one for each update.
        learning_rate: how far an update goes.
        optimizer: how it goes.
        rng: draws the dropout masks; None: nothing is dropped.
        separator_id: the token before which all states are reset; None: no separator.

    Returns:
        The parameters after the last update, and the loss of each batch before its update, in nats a
        character.
    """
    adam_state = init_adam(params)
    carry: Carry | None = None
    losses: list[float] = []
    for tokens, targets in batches:
        if carry is None:
            carry = initial_carry(layers, params, len(tokens))
        resets = _find_resets(tokens, separator_id)
        loss, gradients, carry = loss_and_gradients(layers, params, carry, tokens, targets, rng, resets)
        if optimizer == "adam":
            params, adam_state = adam(params, gradients, adam_state, learning_rate)
        else:
            params = gradient_descent(params, gradients, learning_rate)
        losses.append(loss)
    return params, losses


def sample(
    layers: Sequence[LayerConfig],
    params: Params,
    prompt_ids: Sequence[int],
    length: int,
    *,
    temperature: float = 1.0,
    rng: np.random.Generator,
    separator_id: int | None = None,
) -> list[int]:
    """Continue a text: read the seed once, then draw one character after the other, each read in its turn.

    The carry summarizes all tokens read, so a new token takes one step, however long the text is.

    Args:
        layers: the model.
        params: its parameters.
        prompt_ids: the text to continue, at least one id.
        length: how many ids to draw.
        temperature: logits are divided by it. 1 draws from the model's distribution; below 1, likely tokens
            become likelier; 0 always takes the likeliest.
        rng: draws.
        separator_id: the token before which all states are reset, drawn or given; None: no separator.

    Returns:
        The new ids, without the seed.
    """
    carry = initial_carry(layers, params, batch_size=1)
    unread = np.array([prompt_ids])  # [1, T]
    new_ids: list[int] = []
    for _ in range(length):
        resets = _find_resets(unread, separator_id)
        carry, logits, _ = model_forward(layers, params, carry, unread, resets=resets)
        last = logits[0, -1]  # what may follow all that was read
        if temperature == 0:
            new_id = int(last.argmax())
        else:
            weights = np.exp((last - last.max()) / temperature)
            new_id = int(rng.choice(len(weights), p=weights / weights.sum()))
        new_ids.append(new_id)
        unread = np.array([[new_id]])
    return new_ids


def _find_resets(tokens: Array, separator_id: int | None) -> Array | None:
    return None if separator_id is None else tokens == separator_id
