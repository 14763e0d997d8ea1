"""Every layer as `jaxrnn.gradcheck.check` checks it: a plain forward pass that JAX differentiates, and cases.

A plain forward pass is the shortest way to write a layer, over the parameters and carries of `jaxrnn.layers`. It is
slower than the layer and shares no arithmetic with it. A case has the arguments, how a layer is called with them, and
the gradient in NumPy. All arrays are drawn in float64: to be called under JAX's 64-bit setting.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import reference
from jaxrnn.config import (
    CausalConvConfig,
    DenseConfig,
    EmbeddingConfig,
    GatedMLPConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    ModelConfig,
    ResidualConfig,
    RMSNormConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.layers import losses
from jaxrnn.layers.block import CellCarry, RNNBlockParams, init_rnn_block, rnn_block, rnn_block_carry
from jaxrnn.layers.causal_conv import (
    CausalConvCarry,
    CausalConvParams,
    causal_conv,
    causal_conv_carry,
    init_causal_conv,
)
from jaxrnn.layers.dense import DenseParams, dense, init_dense
from jaxrnn.layers.dropout import dropout
from jaxrnn.layers.embedding import EmbeddingParams, embedding, init_embedding
from jaxrnn.layers.gated_mlp import GatedMLPParams, gated_mlp, init_gated_mlp
from jaxrnn.layers.gru import GRUCarry, GRUParams, gru, gru_carry, init_gru
from jaxrnn.layers.linear_scan import linear_scan
from jaxrnn.layers.lstm import LSTMCarry, LSTMParams, init_lstm, lstm, lstm_carry
from jaxrnn.layers.min_gru import MinGRUCarry, MinGRUParams, init_min_gru, min_gru, min_gru_carry
from jaxrnn.layers.min_lstm import MinLSTMCarry, MinLSTMParams, init_min_lstm, min_lstm, min_lstm_carry
from jaxrnn.layers.mlstm import MLSTMCarry, MLSTMParams, init_mlstm, mlstm, mlstm_carry
from jaxrnn.layers.mogrifier import MogrifierLSTMParams, init_mogrifier_lstm, mogrifier_lstm
from jaxrnn.layers.rg_lru import RGLRUCarry, RGLRUParams, init_rg_lru, rg_lru, rg_lru_carry
from jaxrnn.layers.rms_norm import EPSILON, RMSNormParams, init_rms_norm, rms_norm
from jaxrnn.layers.rnn import RNNCarry, RNNParams, init_rnn, rnn, rnn_carry
from jaxrnn.layers.slstm import SLSTMCarry, SLSTMParams, init_slstm, slstm, slstm_carry
from jaxrnn.models import registry, stack
from jaxrnn.types import Array, Carry, Key, Params


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
    """The inputs that a layer is differentiated with respect to; `()` without any."""

    params: Any = ()
    carry: Any = ()
    xs: Any = ()
    logits: Any = ()


Outputs = Any
Function = Callable[..., Outputs]


class Case(NamedTuple):
    """One layer at certain arguments.

    `call` gives a layer function, hand-derived or plain, the arguments in its own order, and with them
    what has no gradient (ids, keys). `reference` is the NumPy gradient: (arguments, cotangents of the
    outputs) to cotangents of the arguments.
    """

    name: str
    arguments: Arguments
    call: Callable[[Function, Arguments], Outputs]
    reference: Callable[[Arguments, Outputs], Arguments]


class OnTrial(NamedTuple):
    """A layer as checked: the function on trial, its plain forward pass, and the cases to check."""

    function: Function
    plain: Function
    cases: Callable[[np.random.Generator, Sizes], list[Case]]


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Draw normal numbers, in float64 under JAX's 64-bit setting."""
    return jnp.asarray(rng.standard_normal(shape))


def drawn(rng: np.random.Generator, make: Callable[[], Any]) -> Any:
    """Draw normal numbers in the shapes of the tree that `make` returns, which is not run."""
    return jax.tree.map(lambda leaf: normal(rng, *leaf.shape), jax.eval_shape(make))


# The layers that are not recurrent


def _plain_embedding(params: EmbeddingParams, ids: Array) -> Array:
    return params.table[ids]


def _embedding_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    ids = _ids(rng, sizes).T
    ids[-1] = ids[0]  # so that some token is repeated however many there are

    def gradient(arguments: Arguments, d_xs: Any) -> Arguments:
        _, residuals = reference.embedding_forward(arguments.params, ids)
        return Arguments(params=reference.embedding_backward(arguments.params, residuals, d_xs))

    def call(function: Function, arguments: Arguments) -> Outputs:
        return function(arguments.params, jnp.asarray(ids))

    params = drawn(rng, lambda: init_embedding(jax.random.key(0), sizes.vocabulary_size, sizes.input_size))
    return [Case("embedding", Arguments(params=params), call, gradient)]


def _ids(rng: np.random.Generator, sizes: Sizes) -> Any:
    """Token ids `[batch, time]`."""
    return rng.integers(sizes.vocabulary_size, size=(sizes.batch_size, sizes.seq_len), dtype=np.int32)


def _plain_dense(params: DenseParams, xs: Array) -> Array:
    ys = xs @ params.w
    return ys + jnp.broadcast_to(params.b, ys.shape)


def _dense_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    params = drawn(rng, lambda: init_dense(jax.random.key(0), sizes.input_size, sizes.hidden_size))
    twin = reference.dense_forward, reference.dense_backward
    return [_pointwise_case("dense", params, _xs(rng, sizes), *twin)]


def _xs(rng: np.random.Generator, sizes: Sizes) -> Array:
    return normal(rng, sizes.seq_len, sizes.batch_size, sizes.input_size)


def _plain_rms_norm(params: RMSNormParams, xs: Array) -> Array:
    return xs / jnp.sqrt((xs**2).mean(-1, keepdims=True) + EPSILON) * params.scale[None, None]


def _rms_norm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    params = drawn(rng, lambda: init_rms_norm(sizes.input_size))
    twin = reference.rms_norm_forward, reference.rms_norm_backward
    return [_pointwise_case("rms_norm", params, _xs(rng, sizes), *twin)]


def _plain_gated_mlp(params: GatedMLPParams, xs: Array) -> Array:
    a, v = jnp.split(xs @ params.w_in, 2, axis=-1)
    return (jax.nn.silu(a) * v) @ params.w_out


def _gated_mlp_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    params = drawn(rng, lambda: init_gated_mlp(jax.random.key(0), sizes.input_size, sizes.hidden_size))
    twin = reference.gated_mlp_forward, reference.gated_mlp_backward
    return [_pointwise_case("gated_mlp", params, _xs(rng, sizes), *twin)]


def _pointwise_case(
    name: str, params: Params, xs: Array, forward: Callable[..., Any], backward: Callable[..., Any]
) -> Case:
    """Return the case of a layer (params, xs) -> ys, from the two passes of its NumPy twin."""

    def gradient(arguments: Arguments, d_ys: Any) -> Arguments:
        _, residuals = forward(arguments.params, arguments.xs)
        d_params, d_xs = backward(arguments.params, residuals, d_ys)
        return Arguments(params=d_params, xs=d_xs)

    arguments = Arguments(params=params, xs=xs)
    return Case(name, arguments, lambda function, a: function(a.params, a.xs), gradient)


def _plain_dropout(key: Key, rate: float, xs: Array, *, variational: bool = False) -> Array:
    keep = jax.random.bernoulli(key, jnp.float32(1 - rate), (1, *xs.shape[1:]) if variational else xs.shape)
    return jnp.where(keep, xs / (1 - rate), 0)


def _dropout_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    key, rate = jax.random.key(0), 0.5

    def case(name: str, steps: int, variational: bool) -> Case:
        def gradient(arguments: Arguments, d_ys: Any) -> Arguments:
            ones = jnp.ones((steps, *arguments.xs.shape[1:]))
            mask = np.asarray(_plain_dropout(key, rate, ones))
            _, residuals = reference.dropout_forward(mask, arguments.xs)
            return Arguments(xs=reference.dropout_backward(residuals, d_ys))

        def call(function: Function, arguments: Arguments) -> Outputs:
            return function(key, rate, arguments.xs, variational=variational)

        return Case(name, Arguments(xs=_xs(rng, sizes)), call, gradient)

    return [case("dropout", sizes.seq_len, False), case("dropout (variational)", 1, True)]


def _plain_softmax_cross_entropy(logits: Array, targets: Array) -> Array:
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probabilities, targets[..., None], axis=-1).squeeze(-1)


def _softmax_cross_entropy_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    targets = _ids(rng, sizes)

    def gradient(arguments: Arguments, d_losses: Any) -> Arguments:
        _, residuals = reference.softmax_cross_entropy_forward(arguments.logits, targets)
        return Arguments(logits=reference.softmax_cross_entropy_backward(residuals, d_losses))

    def call(function: Function, arguments: Arguments) -> Outputs:
        return function(arguments.logits, jnp.asarray(targets))

    logits = normal(rng, *targets.shape, sizes.vocabulary_size)
    return [Case("softmax_cross_entropy", Arguments(logits=logits), call, gradient)]


# The recurrent layers: plain forward passes of one step each


def over_time(step: Callable[..., tuple[Any, Array]]) -> Function:
    """Return a layer that runs `step`, (params, carry, x_t, **options) -> (carry, h_t), for every time step.

    The layer is called as those of `jaxrnn.layers` are: (params, carry, xs, *, resets, **options) -> (carry, hs).
    """

    def layer(
        params: Params, carry: Carry, xs: Array, *, resets: Array | None = None, **options: Any
    ) -> tuple[Carry, Array]:
        def body(carry: Carry, here: tuple[Array, Array | None]) -> tuple[Carry, Array]:
            x, reset = here
            if reset is not None:
                carry = jax.tree.map(lambda leaf: jnp.where(reset[:, None], 0, leaf), carry)
            return step(params, carry, x, **options)

        return jax.lax.scan(body, carry, (xs, resets))

    return layer


def recurrent_arguments(
    rng: np.random.Generator,
    sizes: Sizes,
    init: Callable[[Key, int, int], Params],
    initial_carry: Callable[[Params, int], Carry],
) -> Arguments:
    """Draw parameters, a carry and inputs of the recurrent layer that has these two functions."""
    params = drawn(rng, lambda: init(jax.random.key(0), sizes.input_size, sizes.hidden_size))
    carry = drawn(rng, lambda: initial_carry(params, sizes.batch_size))
    return Arguments(params, carry, _xs(rng, sizes))


def recurrent_cases(
    name: str,
    arguments: Arguments,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    options: Mapping[str, Mapping[str, Any]],
) -> list[Case]:
    """Return a case for each of the options of a recurrent layer.

    Args:
        name: of the layer.
        arguments: for all cases.
        forward: NumPy's forward pass: (params, carry, xs, **options) -> (carry, hs, residuals).
        backward: its backward pass: (params, residuals, d_carry, d_hs) -> (d_params, d_carry, d_xs).
        options: keyword arguments of NumPy arrays, by the suffix of the case's name.
    """

    def case(label: str, options: Mapping[str, Any]) -> Case:
        def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
            _, _, residuals = forward(arguments.params, arguments.carry, arguments.xs, **options)
            return Arguments(*backward(arguments.params, residuals, *cotangents))

        def call(function: Function, arguments: Arguments) -> Outputs:
            arrays = {option: jnp.asarray(value) for option, value in options.items()}
            return function(arguments.params, arguments.carry, arguments.xs, **arrays)

        return Case(name + label, arguments, call, gradient)

    return [case(label, values) for label, values in options.items()]


def resets_option(sizes: Sizes) -> dict[str, Any]:
    """Bool `[time, batch]`: of the first stream at every other step, of the next at the others, and so on."""
    return {"resets": np.indices((sizes.seq_len, sizes.batch_size)).sum(axis=0) % 2 == 0}


def _mask_option(rng: np.random.Generator, sizes: Sizes) -> dict[str, Any]:
    """Zeros and twos `[batch, hidden]`, both among them."""
    mask = 2.0 * rng.integers(2, size=(sizes.batch_size, sizes.hidden_size))
    mask.flat[0], mask.flat[-1] = 0, 2
    return {"mask": mask}


def _plain_rnn_step(params: RNNParams, carry: RNNCarry, x: Array) -> tuple[RNNCarry, Array]:
    h = jnp.tanh(x @ params.w_x + carry.h @ params.w_h + params.b[None])
    return RNNCarry(h), h


def _rnn_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    arguments = recurrent_arguments(rng, sizes, init_rnn, rnn_carry)
    options = {"": {}, " (resets)": resets_option(sizes)}
    return recurrent_cases("rnn", arguments, reference.rnn_forward, reference.rnn_backward, options)


def _plain_lstm_step(
    params: LSTMParams | MogrifierLSTMParams, carry: LSTMCarry, x: Array, mask: Array | None = None
) -> tuple[LSTMCarry, Array]:
    h = carry.h if mask is None else mask * carry.h
    i, f, g, o = jnp.split(x @ params.w_x + h @ params.w_h + params.b[None], 4, axis=-1)
    c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return LSTMCarry(h, c), h


def _lstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    arguments = recurrent_arguments(rng, sizes, init_lstm, lstm_carry)
    options = {"": {}, " (recurrent_dropout)": _mask_option(rng, sizes), " (resets)": resets_option(sizes)}
    return recurrent_cases("lstm", arguments, reference.lstm_forward, reference.lstm_backward, options)


def _plain_mogrifier_step(
    params: MogrifierLSTMParams, carry: LSTMCarry, x: Array, mask: Array | None = None
) -> tuple[LSTMCarry, Array]:
    h = carry.h if mask is None else mask * carry.h
    for number, (w_out, w_in) in enumerate(params.rounds, start=1):
        q = w_out if w_in is None else w_in @ w_out
        if number % 2 == 1:
            x = 2 * jax.nn.sigmoid(h @ q) * x
        else:
            h = 2 * jax.nn.sigmoid(x @ q) * h
    return _plain_lstm_step(params, LSTMCarry(h, carry.c), x)


def _mogrifier_lstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """Of full and of low rank, an even and an odd number of rounds, and with the LSTM's options."""

    def arguments(rounds: int, rank: int) -> Arguments:
        init = partial(init_mogrifier_lstm, rounds=rounds, rank=rank)
        given = recurrent_arguments(rng, sizes, init, lstm_carry)
        halves = jax.tree.map(lambda w: w / 2, given.params.rounds)  # smaller: differences want gentle curves
        return given._replace(params=given.params._replace(rounds=halves))

    forward, backward = reference.mogrifier_lstm_forward, reference.mogrifier_lstm_backward
    options = {"": {}, " (recurrent_dropout)": _mask_option(rng, sizes), " (resets)": resets_option(sizes)}
    return [
        *recurrent_cases("mogrifier_lstm", arguments(4, 0), forward, backward, {"": {}}),
        *recurrent_cases("mogrifier_lstm, low rank", arguments(3, 1), forward, backward, options),
    ]


def _plain_slstm_step(
    params: SLSTMParams, carry: SLSTMCarry, x: Array, mask: Array | None = None
) -> tuple[SLSTMCarry, Array]:
    batch_size, (heads, size, _) = len(x), params.w_h.shape
    h = (carry.h if mask is None else mask * carry.h).reshape(batch_size, heads, size)
    z = (x @ params.w_x + params.b[None]).reshape(batch_size, heads, 4, size)
    z = z + jnp.einsum("bhd,hde->bhe", h, params.w_h).reshape(z.shape)
    i, f, g, o = (z[:, :, gate].reshape(batch_size, -1) for gate in range(4))
    is_empty = carry.n == 0
    kept = jax.nn.log_sigmoid(f) + jnp.where(is_empty, 0, carry.m)
    m = jnp.where(is_empty, i, jnp.maximum(kept, i))
    forget = jnp.where(is_empty, 0, jnp.exp(kept - m))
    c, n = (forget * state + jnp.exp(i - m) * new for state, new in ((carry.c, jnp.tanh(g)), (carry.n, 1)))
    h = jax.nn.sigmoid(o) * c / n
    return SLSTMCarry(h, c, n, m), h


def _slstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """With one head and with two, and with a mask and resets as the LSTM."""

    def arguments(heads: int) -> Arguments:
        even = sizes._replace(hidden_size=heads * sizes.hidden_size)
        given = recurrent_arguments(rng, even, partial(init_slstm, heads=heads), slstm_carry)
        return given._replace(carry=given.carry._replace(n=abs(given.carry.n) + 0.5))  # a sum of weights

    wide = sizes._replace(hidden_size=2 * sizes.hidden_size)
    options = {"": {}, " (recurrent_dropout)": _mask_option(rng, wide), " (resets)": resets_option(sizes)}
    forward, backward = reference.slstm_forward, reference.slstm_backward
    return [
        *recurrent_cases("slstm, one head", arguments(1), forward, backward, {"": {}}),
        *recurrent_cases("slstm", arguments(2), forward, backward, options),
    ]


def _plain_mlstm_step(
    params: MLSTMParams, carry: MLSTMCarry, x: Array, chunk: int = 1
) -> tuple[MLSTMCarry, Array]:
    del chunk  # step by step
    batch_size, (heads, size) = len(x), params.scale.shape
    units, gates = jnp.split(x @ params.w_x + params.b[None], [4 * heads * size], axis=-1)
    q, k, v, o = jnp.moveaxis(units.reshape(batch_size, 4, heads, size), 1, 0)
    i, f = jnp.moveaxis(jax.nn.sigmoid(gates).reshape(batch_size, 2, heads, 1, 1), 1, 0)
    c = f * carry.c.reshape(batch_size, heads, size, size) + i * k[..., :, None] * v[..., None, :]
    y = jnp.einsum("bhd,bhde->bhe", q, c) / jnp.sqrt(size)
    y = y / jnp.sqrt((y**2).mean(-1, keepdims=True) + EPSILON) * params.scale[None]
    return MLSTMCarry(c.reshape(carry.c.shape)), (jax.nn.sigmoid(o) * y).reshape(batch_size, -1)


def _mlstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """In a single chunk, and in chunks of 3 of which the last is not full, with resets inside of them."""
    wide = sizes._replace(hidden_size=2 * max(sizes.hidden_size, 3))  # the norm of one number is its sign
    arguments = recurrent_arguments(rng, wide, partial(init_mlstm, heads=2), mlstm_carry)

    def cases(name: str, options: Mapping[str, Mapping[str, Any]], chunk: int) -> list[Case]:
        made = recurrent_cases(name, arguments, reference.mlstm_forward, reference.mlstm_backward, options)
        return [case._replace(call=_in_chunks(chunk, case.call)) for case in made]

    options = {"": {}, " (resets)": resets_option(sizes)}
    return [*cases("mlstm", options, 64), *cases("mlstm, chunks", options, 3)]


def _in_chunks(
    chunk: int, call: Callable[[Function, Arguments], Outputs]
) -> Callable[[Function, Arguments], Outputs]:
    return lambda function, arguments: call(partial(function, chunk=chunk), arguments)


def _plain_gru_step(params: GRUParams, carry: GRUCarry, x: Array) -> tuple[GRUCarry, Array]:
    p_r, p_z, p_n = jnp.split(x @ params.w_x + params.b[None], 3, axis=-1)
    a_r, a_z, a_n = jnp.split(carry.h @ params.w_h, 3, axis=-1)
    r, z = jax.nn.sigmoid(p_r + a_r), jax.nn.sigmoid(p_z + a_z)
    n = jnp.tanh(p_n + r * (a_n + params.b_n[None]))
    h = (1 - z) * n + z * carry.h
    return GRUCarry(h), h


def _gru_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    arguments = recurrent_arguments(rng, sizes, init_gru, gru_carry)
    options = {"": {}, " (resets)": resets_option(sizes)}
    return recurrent_cases("gru", arguments, reference.gru_forward, reference.gru_backward, options)


def _plain_linear_scan(a: Array, b: Array, carry: Array, resets: Array | None = None) -> tuple[Array, Array]:
    def step(_: Params, h: Array, here: tuple[Array, Array]) -> tuple[Array, Array]:
        h = here[0] * h + here[1]
        return h, h

    states: tuple[Array, Array] = over_time(step)((), carry, (a, b), resets=resets)
    return states


def _linear_scan_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    shape = sizes.seq_len, sizes.batch_size, sizes.hidden_size
    arguments = Arguments(carry=normal(rng, *shape[1:]), xs=(normal(rng, *shape), normal(rng, *shape)))

    def case(label: str, resets: Any) -> Case:
        def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
            a, b = arguments.xs
            _, _, residuals = reference.linear_scan_forward(a, b, arguments.carry, resets)
            d_a, d_b, d_h = reference.linear_scan_backward(residuals, *cotangents)
            return Arguments(carry=d_h, xs=(d_a, d_b))

        def call(function: Function, arguments: Arguments) -> Outputs:
            given = None if resets is None else jnp.asarray(resets)
            return function(*arguments.xs, arguments.carry, given)

        return Case(f"linear_scan{label}", arguments, call, gradient)

    return [case("", None), case(" (resets)", resets_option(sizes)["resets"])]


def _plain_min_gru_step(params: MinGRUParams, carry: MinGRUCarry, x: Array) -> tuple[MinGRUCarry, Array]:
    p_z, p_n = jnp.split(x @ params.w_x + params.b[None], 2, axis=-1)
    z = jax.nn.sigmoid(p_z)
    h = (1 - z) * carry.h + z * _plain_phi(p_n)
    return MinGRUCarry(h), h


def _plain_phi(p: Array) -> Array:
    return jnp.where(p >= 0, p + 0.5, jax.nn.sigmoid(p))


def _min_gru_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    arguments = recurrent_arguments(rng, sizes, init_min_gru, min_gru_carry)
    options = {"": {}, " (resets)": resets_option(sizes)}
    return recurrent_cases(
        "min_gru", arguments, reference.min_gru_forward, reference.min_gru_backward, options
    )


def _plain_min_lstm_step(params: MinLSTMParams, carry: MinLSTMCarry, x: Array) -> tuple[MinLSTMCarry, Array]:
    p_i, p_f, p_g = jnp.split(x @ params.w_x + params.b[None], 3, axis=-1)
    i, f = jax.nn.sigmoid(p_i), jax.nn.sigmoid(p_f)
    h = (f * carry.h + i * _plain_phi(p_g)) / (i + f)
    return MinLSTMCarry(h), h


def _min_lstm_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    arguments = recurrent_arguments(rng, sizes, init_min_lstm, min_lstm_carry)
    options = {"": {}, " (resets)": resets_option(sizes)}
    return recurrent_cases(
        "min_lstm", arguments, reference.min_lstm_forward, reference.min_lstm_backward, options
    )


def _plain_rg_lru_step(params: RGLRUParams, carry: RGLRUCarry, x: Array) -> tuple[RGLRUCarry, Array]:
    r, i = jnp.split(jax.nn.sigmoid(x @ params.w_x + params.b[None]), 2, axis=-1)
    log_a = 8 * r * jax.nn.log_sigmoid(-params.a_param[None])
    h = jnp.exp(log_a) * carry.h + jnp.sqrt(-jnp.expm1(2 * log_a)) * i * x
    return RGLRUCarry(h), h


def _rg_lru_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    square = sizes._replace(input_size=sizes.hidden_size)

    def init(key: Key, size: int, _size: int) -> RGLRUParams:
        return init_rg_lru(key, size)

    arguments = recurrent_arguments(rng, square, init, rg_lru_carry)
    options = {"": {}, " (resets)": resets_option(sizes)}
    return recurrent_cases("rg_lru", arguments, reference.rg_lru_forward, reference.rg_lru_backward, options)


def _plain_rnn_block(
    params: RNNBlockParams, carry: CellCarry, xs: Array, *, resets: Array | None = None
) -> tuple[CellCarry, Array]:
    names = {RNNParams: "rnn", LSTMParams: "lstm", GRUParams: "gru"}
    carry, hs = ON_TRIAL[names[type(params.cell)]].plain(params.cell, carry, xs, resets=resets)
    return carry, xs + _plain_dense(params.dense, hs)


def _rnn_block_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    square = sizes._replace(input_size=sizes.hidden_size)

    def cases(cell: str, *options: str) -> list[Case]:
        def init(key: Key, size: int, _size: int) -> RNNBlockParams:
            return init_rnn_block(key, size, cell)

        given = {"": {}, ", resets": resets_option(sizes)}
        return recurrent_cases(
            "rnn_block",
            recurrent_arguments(rng, square, init, rnn_block_carry),
            partial(reference.rnn_block_forward, cell),
            partial(reference.rnn_block_backward, cell),
            {f" ({cell}{option})": given[option] for option in options},
        )

    return [*cases("rnn", ""), *cases("lstm", "", ", resets"), *cases("gru", "")]


def _plain_causal_conv_step(
    params: CausalConvParams, carry: CausalConvCarry, x: Array
) -> tuple[CausalConvCarry, Array]:
    window = jnp.concatenate([carry.xs, x], axis=1).reshape(len(x), *params.taps.shape)
    y = params.b[None] + jnp.einsum("bks,ks->bs", window, params.taps[::-1])
    return CausalConvCarry(window[:, 1:].reshape(carry.xs.shape)), y


def _causal_conv_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """With a window shorter than the sequence, and one longer."""

    def cases(name: str, width: int, options: Mapping[str, Mapping[str, Any]]) -> list[Case]:
        def init(key: Key, size: int, _size: int) -> CausalConvParams:
            return init_causal_conv(key, size, width)

        arguments = recurrent_arguments(rng, sizes, init, causal_conv_carry)
        forward, backward = reference.causal_conv_forward, reference.causal_conv_backward
        return recurrent_cases(name, arguments, forward, backward, options)

    options = {"": {}, " (resets)": resets_option(sizes)}
    return [
        *cases("causal_conv", 3, options),
        *cases("causal_conv, wide", sizes.seq_len + 2, {" (resets)": resets_option(sizes)}),
    ]


# A stack of layers


def plain_stack(
    config: ModelConfig, params: Params, carry: Carry, tokens: Array, resets: Array | None = None
) -> tuple[Carry, Array]:
    """Run the plain forward passes of a stack without dropout: tokens and resets `[batch, time]` to logits."""
    carry, xs = _plain_layers(config.layers, params, carry, tokens.T, None if resets is None else resets.T)
    return carry, xs.swapaxes(0, 1)


def _plain_layers(
    layers: Sequence[LayerConfig], params: Params, carry: Carry, xs: Array, resets: Array | None
) -> tuple[Carry, Array]:
    carry_out: list[Carry] = []
    for layer, layer_params, layer_carry in zip(layers, params, carry, strict=True):
        plain = ON_TRIAL[layer.type].plain
        if isinstance(layer, ResidualConfig):
            layer_carry, xs = _plain_residual(layer, layer_params, layer_carry, xs, resets=resets)
        elif layer_carry:
            layer_carry, xs = plain(layer_params, layer_carry, xs, resets=resets)
        elif layer.type != "dropout":
            xs = plain(layer_params, xs)
        carry_out.append(layer_carry)
    return tuple(carry_out), xs


def _plain_residual(
    config: ResidualConfig, params: Params, carry: Carry, xs: Array, *, resets: Array | None = None
) -> tuple[Carry, Array]:
    carry, ys = _plain_layers(config.layers, params, carry, xs, resets)
    return carry, xs + ys


def _residual_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """A recurrent layer and a feed-forward one, each with what stands around it in recent models."""
    recurrent = ResidualConfig(
        layers=(
            RMSNormConfig(),
            CausalConvConfig(width=3),
            LSTMConfig(size=sizes.hidden_size),
            DenseConfig(size=sizes.input_size),
        )
    )
    feed_forward = ResidualConfig(layers=(RMSNormConfig(), GatedMLPConfig(hidden=sizes.hidden_size)))

    def cases(label: str, config: ResidualConfig, options: Mapping[str, Mapping[str, Any]]) -> list[Case]:
        row, twin = registry.LAYERS[config.type], reference.model.LAYERS[config.type]

        def init(key: Key, input_size: int, _size: int) -> Params:
            return row.init(
                key=key, config=config, input_size=input_size, vocabulary_size=0, dtype=jnp.float32
            )

        def forward(params: Params, carry: Carry, xs: Any, resets: Any = None) -> Any:
            return twin.forward(config=config, params=params, carry=carry, xs=xs, rng=None, resets=resets)

        def backward(params: Params, residuals: Any, d_carry: Carry, d_ys: Any) -> Any:
            return twin.backward(
                config=config, params=params, residuals=residuals, d_carry=d_carry, d_ys=d_ys
            )

        def initial_carry(params: Params, batch_size: int) -> Carry:
            return row.initial_carry(config=config, params=params, batch_size=batch_size)

        arguments = recurrent_arguments(rng, sizes, init, initial_carry)
        made = recurrent_cases(f"residual ({label})", arguments, forward, backward, options)
        return [case._replace(call=_with_config(config, case.call)) for case in made]

    options = {"": {}, " (resets)": resets_option(sizes)}
    return [*cases("recurrent", recurrent, options), *cases("feed-forward", feed_forward, {"": {}})]


def _with_config(
    config: LayerConfig, call: Callable[[Function, Arguments], Outputs]
) -> Callable[[Function, Arguments], Outputs]:
    return lambda function, arguments: call(partial(function, config), arguments)


def _projected_table_cases(rng: np.random.Generator, sizes: Sizes) -> list[Case]:
    """A small model each: where positions outnumber the vocabulary, `stack.apply` projects the table (see there)."""
    tokens = _ids(rng, sizes)
    hidden_size = sizes.hidden_size

    def case(layer: LayerConfig, input_size: int = sizes.input_size) -> Case:
        config = ModelConfig(layers=(EmbeddingConfig(size=input_size), layer, DenseConfig()))

        def gradient(arguments: Arguments, cotangents: Outputs) -> Arguments:
            args = config.layers, arguments.params
            _, _, residuals = reference.model_forward(*args, arguments.carry, tokens)
            return Arguments(*reference.model_backward(*args, residuals, *cotangents))

        def call(function: Function, arguments: Arguments) -> Outputs:
            return function(config, arguments.params, arguments.carry, jnp.asarray(tokens))

        params = drawn(rng, lambda: stack.init(jax.random.key(0), config, sizes.vocabulary_size))
        carry = drawn(rng, lambda: stack.initial_carry(config, params, sizes.batch_size))
        return Case(f"projected_table ({layer.type})", Arguments(params, carry), call, gradient)

    return [
        case(RNNConfig(size=hidden_size)),
        case(LSTMConfig(size=hidden_size)),
        case(GRUConfig(size=hidden_size)),
        case(RNNBlockConfig(cell="lstm"), hidden_size),
    ]


# Everything that `check_gradients` checks, by name; a layer by the type that it has in a config.
ON_TRIAL: dict[str, OnTrial] = {
    "embedding": OnTrial(embedding, _plain_embedding, _embedding_cases),
    "dense": OnTrial(dense, _plain_dense, _dense_cases),
    "dropout": OnTrial(dropout, _plain_dropout, _dropout_cases),
    "rnn": OnTrial(rnn, over_time(_plain_rnn_step), _rnn_cases),
    "lstm": OnTrial(lstm, over_time(_plain_lstm_step), _lstm_cases),
    "mogrifier_lstm": OnTrial(mogrifier_lstm, over_time(_plain_mogrifier_step), _mogrifier_lstm_cases),
    "gru": OnTrial(gru, over_time(_plain_gru_step), _gru_cases),
    "slstm": OnTrial(slstm, over_time(_plain_slstm_step), _slstm_cases),
    "rnn_block": OnTrial(rnn_block, _plain_rnn_block, _rnn_block_cases),
    "softmax_cross_entropy": OnTrial(
        losses.softmax_cross_entropy, _plain_softmax_cross_entropy, _softmax_cross_entropy_cases
    ),
    "mlstm": OnTrial(mlstm, over_time(_plain_mlstm_step), _mlstm_cases),
    "linear_scan": OnTrial(linear_scan, _plain_linear_scan, _linear_scan_cases),
    "min_gru": OnTrial(min_gru, over_time(_plain_min_gru_step), _min_gru_cases),
    "min_lstm": OnTrial(min_lstm, over_time(_plain_min_lstm_step), _min_lstm_cases),
    "rg_lru": OnTrial(rg_lru, over_time(_plain_rg_lru_step), _rg_lru_cases),
    "rms_norm": OnTrial(rms_norm, _plain_rms_norm, _rms_norm_cases),
    "gated_mlp": OnTrial(gated_mlp, _plain_gated_mlp, _gated_mlp_cases),
    "causal_conv": OnTrial(causal_conv, over_time(_plain_causal_conv_step), _causal_conv_cases),
    "residual": OnTrial(registry.apply_layer, _plain_residual, _residual_cases),
    "projected_table": OnTrial(stack.apply, plain_stack, _projected_table_cases),
}
