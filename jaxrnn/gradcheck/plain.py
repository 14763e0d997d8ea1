"""Every layer once more without a backward pass of its own: JAX differentiates these by itself.

The shortest way to say each forward pass, over the parameters and carries of `jaxrnn.layers`. They are
slower than the layers and share no arithmetic with them; `jaxrnn.gradcheck.check` holds the hand-derived
gradients against theirs.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.config import ModelConfig
from jaxrnn.layers.block import CellCarry, CellParams, RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.gru import GRUCarry, GRUParams
from jaxrnn.layers.lstm import LSTMCarry, LSTMParams
from jaxrnn.layers.mogrifier import MogrifierLSTMParams
from jaxrnn.layers.rnn import RNNCarry, RNNParams
from jaxrnn.types import Array, Carry, Key, Params

_Here = tuple[Array, Array | None]  # x_t and reset_t


def embedding(params: EmbeddingParams, ids: Array) -> Array:
    """The rows of the table: ids `[...]` to `[..., size]`."""
    return params.table[ids]


def dense(params: DenseParams, xs: Array) -> Array:
    """`xs @ w + b`: `[..., input]` to `[..., output]`."""
    return xs @ params.w + params.b


def dropout(key: Key, rate: float, xs: Array, *, variational: bool = False) -> Array:
    """Zeros with probability `rate`, the rest over `1 - rate`; variational, alike at all times of `[time, ...]`."""
    keep = jax.random.bernoulli(key, jnp.float32(1 - rate), (1, *xs.shape[1:]) if variational else xs.shape)
    return jnp.where(keep, xs / (1 - rate), 0)


def _emptied(carry: CellCarry, reset: Array | None) -> Any:
    """Zeros for the sequences of `[batch]` that begin here."""
    return carry if reset is None else jax.tree.map(lambda leaf: jnp.where(reset[:, None], 0, leaf), carry)


def rnn(
    params: RNNParams, carry: RNNCarry, xs: Array, *, resets: Array | None = None
) -> tuple[RNNCarry, Array]:
    """`h_t = tanh(x_t @ w_x + h_{t-1} @ w_h + b)`: xs `[time, batch, input]` to hs `[time, batch, hidden]`."""

    def step(carry: RNNCarry, here: _Here) -> tuple[RNNCarry, Array]:
        x, reset = here
        carry = _emptied(carry, reset)
        h = jnp.tanh(x @ params.w_x + carry.h @ params.w_h + params.b)
        return RNNCarry(h), h

    return jax.lax.scan(step, carry, (xs, resets))


def lstm(
    params: LSTMParams,
    carry: LSTMCarry,
    xs: Array,
    *,
    mask: Array | None = None,
    resets: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """`c_t = f * c_{t-1} + i * g`, `h_t = o * tanh(c_t)`: xs `[time, batch, input]` to hs `[time, batch, hidden]`."""

    def step(carry: LSTMCarry, here: _Here) -> tuple[LSTMCarry, Array]:
        x, reset = here
        carry = _emptied(carry, reset)
        h_before = carry.h if mask is None else mask * carry.h
        return _lstm_step(x @ params.w_x + h_before @ params.w_h + params.b, carry.c)

    return jax.lax.scan(step, carry, (xs, resets))


def mogrifier_lstm(
    params: MogrifierLSTMParams,
    carry: LSTMCarry,
    xs: Array,
    *,
    mask: Array | None = None,
    resets: Array | None = None,
) -> tuple[LSTMCarry, Array]:
    """An LSTM of x and h that gated each other before: xs `[time, batch, input]` to hs `[time, batch, hidden]`."""

    def step(carry: LSTMCarry, here: _Here) -> tuple[LSTMCarry, Array]:
        x, reset = here
        carry = _emptied(carry, reset)
        h = carry.h if mask is None else mask * carry.h
        for number, (w_out, w_in) in enumerate(params.rounds, start=1):
            q = w_out if w_in is None else w_in @ w_out
            if number % 2 == 1:
                x = 2 * jax.nn.sigmoid(h @ q) * x
            else:
                h = 2 * jax.nn.sigmoid(x @ q) * h
        return _lstm_step(x @ params.w_x + h @ params.w_h + params.b, carry.c)

    return jax.lax.scan(step, carry, (xs, resets))


def _lstm_step(z: Array, c: Array) -> tuple[LSTMCarry, Array]:
    i, f, g, o = jnp.split(z, 4, axis=-1)
    i, f = jax.nn.sigmoid(i), jax.nn.sigmoid(f)
    c = f * c + i * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return LSTMCarry(h, c), h


def gru(
    params: GRUParams, carry: GRUCarry, xs: Array, *, resets: Array | None = None
) -> tuple[GRUCarry, Array]:
    """`h_t = (1 - z) * n + z * h_{t-1}`: xs `[time, batch, input]` to hs `[time, batch, hidden]`."""

    def step(carry: GRUCarry, here: _Here) -> tuple[GRUCarry, Array]:
        x, reset = here
        carry = _emptied(carry, reset)
        x_r, x_z, x_n = jnp.split(x @ params.w_x + params.b, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(carry.h @ params.w_h, 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + params.b_n))
        h = (1 - z) * n + z * carry.h
        return GRUCarry(h), h

    return jax.lax.scan(step, carry, (xs, resets))


def cell(
    params: CellParams, carry: CellCarry, xs: Array, *, resets: Array | None = None
) -> tuple[CellCarry, Array]:
    """The recurrent layer that these parameters belong to."""
    match params, carry:
        case RNNParams(), RNNCarry():
            return rnn(params, carry, xs, resets=resets)
        case LSTMParams(), LSTMCarry():
            return lstm(params, carry, xs, resets=resets)
        case GRUParams(), GRUCarry():
            return gru(params, carry, xs, resets=resets)
    raise TypeError(f"no cell has {type(params).__name__} and {type(carry).__name__}")


def rnn_block(
    params: RNNBlockParams, carry: CellCarry, xs: Array, *, resets: Array | None = None
) -> tuple[CellCarry, Array]:
    """`xs + dense(cell(xs))`: `[time, batch, size]` both ways."""
    carry, hs = cell(params.cell, carry, xs, resets=resets)
    return carry, xs + dense(params.dense, hs)


def softmax_cross_entropy(logits: Array, targets: Array) -> Array:
    """The surprise of each target in nats: logits `[..., vocabulary]`, targets `[...]` to `[...]`."""
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1).squeeze(-1)


def apply(config: ModelConfig, params: Params, carry: Carry, tokens: Array) -> tuple[Carry, Array]:
    """The stack without dropout, layer by layer: tokens `[batch, time]` to logits `[batch, time, vocabulary]`."""
    xs = tokens.T
    resets = None if config.reset_id is None else xs == config.reset_id
    carry_out: list[Carry] = []
    for layer_params, layer_carry in zip(params, carry, strict=True):
        match layer_params:
            case EmbeddingParams():
                xs = embedding(layer_params, xs)
            case DenseParams():
                xs = dense(layer_params, xs)
            case RNNBlockParams():
                layer_carry, xs = rnn_block(layer_params, layer_carry, xs, resets=resets)
            case MogrifierLSTMParams():
                layer_carry, xs = mogrifier_lstm(layer_params, layer_carry, xs, resets=resets)
            case LSTMParams():
                layer_carry, xs = lstm(layer_params, layer_carry, xs, resets=resets)
            case RNNParams() | GRUParams():
                layer_carry, xs = cell(layer_params, layer_carry, xs, resets=resets)
        carry_out.append(layer_carry)
    return tuple(carry_out), xs.swapaxes(0, 1)
