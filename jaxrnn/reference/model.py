"""A stack of layers that learns to predict the next character of a text, and then writes one.

The model is a list of layers as a config names them (`jaxrnn.config`: an embedding, recurrent layers, a
dense layer without size at the end). Parameters and carry are tuples with one entry a layer, `()` where a
layer has none.

    forward     every layer in turn, from token ids to logits
    loss        cross-entropy with the character that came next, mean over all positions
    backward    every layer in turn, from the last to the first; each makes the gradients of its parameters,
                and the cotangent of its inputs, which are the outputs of the layer below
    update      gradient descent or Adam

The text is read in chunks of T characters (truncated backpropagation through time): the state is carried
from chunk to chunk, so that the model remembers what stood before, but gradients stop at the cut, so that
memory and time stay bounded.

A text of many documents has a token that separates them. Where it is the `reset_id`, all states are emptied just before
it is read: what a document says depends on no other, and gradients stop there as well.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.reference.arrays import Array
from jaxrnn.reference.block import CELLS, init_rnn_block, rnn_block_backward, rnn_block_forward
from jaxrnn.reference.dense import dense_backward, dense_forward, init_dense
from jaxrnn.reference.dropout import draw_mask, dropout_backward, dropout_forward
from jaxrnn.reference.embedding import embedding_backward, embedding_forward, init_embedding
from jaxrnn.reference.gru import GRUCarry
from jaxrnn.reference.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from jaxrnn.reference.lstm import LSTMCarry, lstm_backward, lstm_forward
from jaxrnn.reference.mogrifier import (
    init_mogrifier_lstm,
    mogrifier_lstm_backward,
    mogrifier_lstm_forward,
)
from jaxrnn.reference.optimizer import adam, gradient_descent, init_adam, map_leaves
from jaxrnn.reference.rnn import RNNCarry

Params: TypeAlias = tuple[Any, ...]  # one record a layer, () for dropout
Carry: TypeAlias = tuple[Any, ...]  # one record a layer, () for a layer without state


def init_model(rng: np.random.Generator, layers: Sequence[LayerConfig], vocabulary_size: int) -> Params:
    """First parameters, drawn from rng, in float64."""
    params: list[Any] = []
    size = 0  # of what flows into the layer
    for layer in layers:
        match layer:
            case EmbeddingConfig():
                params.append(init_embedding(rng, vocabulary_size, layer.size))
                size = layer.size
            case LSTMConfig() if layer.mogrifier_rounds:
                rounds, rank = layer.mogrifier_rounds, layer.mogrifier_rank
                params.append(init_mogrifier_lstm(rng, size, layer.size, rounds, rank))
                size = layer.size
            case RNNConfig() | LSTMConfig() | GRUConfig():
                init_cell, _, _ = CELLS[layer.type]
                params.append(init_cell(rng, size, layer.size))
                size = layer.size
            case RNNBlockConfig():
                params.append(init_rnn_block(rng, size, layer.cell))
            case DenseConfig():
                output_size = vocabulary_size if layer.size is None else layer.size
                params.append(init_dense(rng, size, output_size))
                size = output_size
            case DropoutConfig():
                params.append(())
    return tuple(params)


def initial_carry(layers: Sequence[LayerConfig], params: Params, batch_size: int) -> Carry:
    """All states zero, as before the first character of a text."""

    def of_cell(name: str, cell: Any) -> Any:
        h = np.zeros((batch_size, cell.w_h.shape[0]), cell.w_h.dtype)
        return {"rnn": RNNCarry(h), "lstm": LSTMCarry(h, h), "gru": GRUCarry(h)}[name]

    carry: list[Any] = []
    for layer, p in zip(layers, params, strict=True):
        match layer:
            case RNNConfig() | LSTMConfig() | GRUConfig():
                carry.append(of_cell(layer.type, p))
            case RNNBlockConfig():
                carry.append(of_cell(layer.cell, p.cell))
            case _:
                carry.append(())
    return tuple(carry)


def model_forward(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    tokens: Array,
    rng: np.random.Generator | None = None,
    reset_id: int | None = None,
) -> tuple[Carry, Array, list[Any]]:
    """Token ids [B, T] -> the carry after them, logits [B, T, V], residuals (one entry a layer).

    Args:
        layers: the model.
        params: its parameters.
        carry: the state before these tokens.
        tokens: [B, T], integers.
        rng: draws the dropout masks; None: nothing is dropped.
        reset_id: the token before which all states are emptied; None: there is none.
    """
    xs = tokens.T  # time first, from here on: [T, B, ...]
    resets = None if reset_id is None else xs == reset_id
    new_carry: list[Any] = []
    residuals: list[Any] = []
    for layer, p, c in zip(layers, params, carry, strict=True):
        r: Any
        match layer:
            case EmbeddingConfig():
                xs, r = embedding_forward(p, xs)
            case LSTMConfig():
                c, xs, r = _lstm_forward(layer, p, c, xs, rng, resets)
            case RNNConfig() | GRUConfig():
                _, cell_forward, _ = CELLS[layer.type]
                c, xs, r = cell_forward(p, c, xs, resets=resets)
            case RNNBlockConfig():
                c, xs, r = rnn_block_forward(layer.cell, p, c, xs, resets)
            case DenseConfig():
                xs, r = dense_forward(p, xs)
            case DropoutConfig():
                mask = None
                if rng is not None:
                    mask = draw_mask(rng, layer.rate, xs.shape, variational=layer.variational).astype(
                        xs.dtype
                    )
                xs, r = dropout_forward(mask, xs)
        new_carry.append(c)
        residuals.append(r)
    return tuple(new_carry), xs.swapaxes(0, 1), residuals


def _lstm_forward(
    layer: LSTMConfig,
    params: Any,
    carry: LSTMCarry,
    xs: Array,
    rng: np.random.Generator | None,
    resets: Array | None,
) -> tuple[LSTMCarry, Array, Any]:
    """An LSTM with the options of its config; the residuals have the mask with them."""
    mask: Array | float = 1.0
    if rng is not None and layer.recurrent_dropout:
        mask = draw_mask(rng, layer.recurrent_dropout, carry.h.shape).astype(xs.dtype)
    forward = mogrifier_lstm_forward if layer.mogrifier_rounds else lstm_forward
    carry, hs, steps = forward(params, carry, xs, mask, resets)
    return carry, hs, (steps, mask)


def model_backward(
    layers: Sequence[LayerConfig], params: Params, residuals: list[Any], d_carry: Carry, d_logits: Array
) -> tuple[Params, Carry]:
    """Walk back from the last layer to the first.

    Takes d_logits [B, T, V] and the cotangents of the last carry; returns the gradients of the
    parameters and of the first carry.
    """
    d_xs = d_logits.swapaxes(0, 1)
    d_params: list[Any] = []
    d_carry_before: list[Any] = []
    for layer, p, r, d_c in reversed(list(zip(layers, params, residuals, d_carry, strict=True))):
        d_p: Any
        match layer:
            case EmbeddingConfig():
                d_p = embedding_backward(p, r, d_xs)
            case LSTMConfig():
                steps, mask = r
                backward = mogrifier_lstm_backward if layer.mogrifier_rounds else lstm_backward
                d_p, d_c, d_xs = backward(p, steps, d_c, d_xs, mask)
            case RNNConfig() | GRUConfig():
                _, _, cell_backward = CELLS[layer.type]
                d_p, d_c, d_xs = cell_backward(p, r, d_c, d_xs)
            case RNNBlockConfig():
                d_p, d_c, d_xs = rnn_block_backward(layer.cell, p, r, d_c, d_xs)
            case DenseConfig():
                d_p, d_xs = dense_backward(p, r, d_xs)
            case DropoutConfig():
                d_p, d_xs = (), dropout_backward(r, d_xs)
        d_params.append(d_p)
        d_carry_before.append(d_c)
    return tuple(d_params[::-1]), tuple(d_carry_before[::-1])


def loss_and_gradients(
    layers: Sequence[LayerConfig],
    params: Params,
    carry: Carry,
    tokens: Array,
    targets: Array,
    rng: np.random.Generator | None = None,
    reset_id: int | None = None,
) -> tuple[float, Params, Carry]:
    """Mean loss in nats a character, its gradients by the parameters, and the carry after these tokens.

    Args:
        layers: the model.
        params: its parameters.
        carry: the state before these tokens.
        tokens: [B, T], integers.
        targets: [B, T], the character after each token.
        rng: draws the dropout masks; None: nothing is dropped.
        reset_id: the token before which all states are emptied; None: there is none.
    """
    carry_after, logits, residuals = model_forward(layers, params, carry, tokens, rng, reset_id)
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
    reset_id: int | None = None,
) -> tuple[Params, list[float]]:
    """Learn from (tokens, targets) batches, each [B, T], each going on where the one before ended.

    Args:
        layers: the model.
        params: its first parameters.
        batches: one for each update.
        learning_rate: how far an update goes.
        optimizer: how it goes.
        rng: draws the dropout masks; None: nothing is dropped.
        reset_id: the token before which all states are emptied; None: there is none.

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
        loss, gradients, carry = loss_and_gradients(layers, params, carry, tokens, targets, rng, reset_id)
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
    reset_id: int | None = None,
) -> list[int]:
    """Continue a text: read the seed once, then draw one character after the other, each read in its turn.

    The carry holds all the model knows of what it has read, so a new character costs one step, however
    long the text is.

    Args:
        layers: the model.
        params: its parameters.
        prompt_ids: the text to continue, at least one id.
        length: how many ids to draw.
        temperature: logits are divided by it: 1 draws what the model believes, below 1 the likely becomes
            likelier, and 0 takes the likeliest each time.
        rng: draws.
        reset_id: the token before which all states are emptied, drawn or given; None: there is none.

    Returns:
        The new ids, without the seed.
    """
    carry = initial_carry(layers, params, batch_size=1)
    unread = np.array([prompt_ids])  # [1, T]
    new_ids: list[int] = []
    for _ in range(length):
        carry, logits, _ = model_forward(layers, params, carry, unread, reset_id=reset_id)
        last = logits[0, -1]  # what may follow all that was read
        if temperature == 0:
            new_id = int(last.argmax())
        else:
            weights = np.exp((last - last.max()) / temperature)
            new_id = int(rng.choice(len(weights), p=weights / weights.sum()))
        new_ids.append(new_id)
        unread = np.array([[new_id]])
    return new_ids
