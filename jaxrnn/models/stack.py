"""A model is a stack of layers: parameters, the carry to begin with, a whole sequence, a single step.

Everything here is a pure function of the model's config (hashable: a static argument of `jit`), the parameters, the
carry and the tokens. Parameters and carries are tuples with one entry a layer, `()` where a layer has none.

The projected table. A recurrent layer begins with `xs @ w_x + b`. Where xs are rows of an embedding table E, the
product and the look-up may change places: `E[ids] @ w_x + b = (E @ w_x + b)[ids]`, equal to rounding. Projecting the
table's V rows instead of the T * B looked-up ones is cheaper, forward and backward, as long as V < T * B; and in
sampling the projected table serves for every token of the call.

Documents. Where `resets` is true, the state of every layer is reset to zeros before that token is read: what follows
depends on nothing before it. `layers.resets.find_resets` finds these places by the separator of a vocabulary.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.config import ModelConfig
from jaxrnn.layers.embedding import EmbeddingParams, embedding
from jaxrnn.models.registry import LAYERS, apply_layer
from jaxrnn.types import Array, Carry, Key, Params

MOST_LOGITS = 2**24  # numbers that a buffer of logits holds where its size is free: 64 MB


def init(key: Key, config: ModelConfig, vocabulary_size: int, dtype: DTypeLike = jnp.float32) -> Params:
    """Draw the parameters: a tuple with one entry a layer, `()` for one that has none.

    Args:
        key: the random key.
        config: the layers.
        vocabulary_size: number of tokens.
        dtype: of every array.
    """
    params = []
    size = 0
    for layer_key, layer in zip(jax.random.split(key, len(config.layers)), config.layers, strict=True):
        drawn = LAYERS[layer.type].init(
            key=layer_key, config=layer, input_size=size, vocabulary_size=vocabulary_size, dtype=dtype
        )
        params.append(drawn)
        size = layer.output_size(size)
    return tuple(params)


def initial_carry(config: ModelConfig, params: Params, batch_size: int) -> Carry:
    """Return the carry before the first token: zeros, a tuple with one entry a layer."""
    layers = zip(config.layers, params, strict=True)
    return tuple(LAYERS[layer.type].initial_carry(params=p, batch_size=batch_size) for layer, p in layers)


def apply(
    config: ModelConfig,
    params: Params,
    carry: Carry,
    tokens: Array,
    key: Key | None = None,
    resets: Array | None = None,
) -> tuple[Carry, Array]:
    """Run the stack over sequences of tokens.

    Args:
        config: the layers.
        params: from `init`.
        carry: from `initial_carry`, or from an earlier call for the tokens just before.
        tokens: ids `[batch, time]`.
        key: for dropout; `None` means none. Or keys `[batch]`, one for each sequence.
        resets: where the state is reset before a token is read, bool `[batch, time]`; None resets nothing.

    Returns:
        The carry after the last token, and the logits of each next token, `[batch, time, vocabulary]`.

    Raises:
        ValueError: `tokens` is not of rank 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxrnn.config import ModelConfig
        >>> config = ModelConfig()
        >>> params = init(jax.random.key(0), config, vocabulary_size=65)
        >>> carry, logits = apply(config, params, initial_carry(config, params, 2), jnp.zeros((2, 7), jnp.int32))
        >>> logits.shape
        (2, 7, 65)
    """
    if tokens.ndim != 2:
        raise ValueError(f"model: tokens must be [batch, time], got shape {tokens.shape}")
    vocabulary_size = params[0].table.shape[0]
    projected = project_table(config, params) if tokens.size > vocabulary_size else None
    return apply_projected(config, params, projected, carry, tokens, key, resets)


def apply_projected(
    config: ModelConfig,
    params: Params,
    projected: Array | None,
    carry: Carry,
    tokens: Array,
    key: Key | None = None,
    resets: Array | None = None,
) -> tuple[Carry, Array]:
    """What `apply` returns, with a `project_table` of the caller's, or with None."""
    carry, logits = _apply_time_major(config, params, projected, carry, tokens.T, key, _transposed(resets))
    return carry, logits.swapaxes(0, 1)


def step(
    config: ModelConfig,
    params: Params,
    projected: Array | None,
    carry: Carry,
    tokens: Array,
    resets: Array | None = None,
) -> tuple[Carry, Array]:
    """Read one token of each sequence.

    Args:
        config: the layers.
        params: from `init`.
        projected: `project_table(config, params)`, made once for many steps.
        carry: as for `apply`.
        tokens: ids `[batch]`.
        resets: where the state is reset before the token is read, bool `[batch]`; None resets nothing.

    Returns:
        The carry after the token, and the logits of the next one, `[batch, vocabulary]`.
    """
    resets = None if resets is None else resets[None]
    carry, logits = _apply_time_major(config, params, projected, carry, tokens[None], None, resets)
    return carry, logits[0]


def layer_inputs(
    config: ModelConfig, params: Params, carry: Carry, tokens: Array, resets: Array | None = None
) -> list[Array]:
    """What each layer reads, to look into a model layer by layer.

    Args:
        config: the layers.
        params: from `init`.
        carry: as for `apply`.
        tokens: ids `[batch, time]`.
        resets: as for `apply`.

    Returns:
        One array a layer, time-major: the first layer's is ids `[time, batch]`, the others' are `[time, batch, size]`.
    """
    inputs: list[Array] = []
    _apply_time_major(config, params, None, carry, tokens.T, None, _transposed(resets), inputs)
    return inputs


def project_table(config: ModelConfig, params: Params) -> Array | None:
    """The embedding table, projected by the recurrent layer that follows it: `[vocabulary, gates * hidden]`.

    None where the second layer is of another kind (for example dropout, which must come between look-up and product).
    """
    input_projection = LAYERS[config.layers[1].type].input_projection
    return None if input_projection is None else input_projection(params=params[1], xs=params[0].table)


def count_parameters(params: Params) -> int:
    """How many numbers a tree of parameters holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _apply_time_major(
    config: ModelConfig,
    params: Params,
    projected: Array | None,
    carry: Carry,
    ids: Array,
    key: Key | None,
    resets: Array | None,
    inputs: list[Array] | None = None,
) -> tuple[Carry, Array]:
    """Run the stack over ids and resets `[time, batch]`; return the carry and logits `[time, batch, vocabulary]`.

    `inputs` gets what each layer reads.
    """
    xs, carry_out = ids, []
    for index, (layer, layer_params, layer_carry) in enumerate(
        zip(config.layers, params, carry, strict=True)
    ):
        if inputs is not None:
            inputs.append(xs)
        from_table = (
            embedding(EmbeddingParams(projected), ids) if index == 1 and projected is not None else None
        )
        layer_carry, xs = apply_layer(
            layer,
            layer_params,
            layer_carry,
            xs,
            projected=from_table,
            key=None if key is None else _fold_in(key, index),
            resets=resets,
        )
        carry_out.append(layer_carry)
    return tuple(carry_out), xs


def _transposed(resets: Array | None) -> Array | None:
    return None if resets is None else resets.T


def _fold_in(key: Key, number: int) -> Key:
    """Another key for each number; of each key where there are several."""
    fold_in = jax.random.fold_in if key.ndim == 0 else jax.vmap(jax.random.fold_in, (0, None))
    folded: Key = fold_in(key, number)
    return folded
