"""Saliency: which earlier characters the probability of a character depends on.

For a character t of a text and the character t - k before it, with the embedding e of the latter, gradient times input:

    s_{t,k} = d log p(x_t | x_1 ... x_{t-1}) / d e_{t-k} . e_{t-k}

This is the derivative of log p with respect to a factor of e_{t-k}: to first order, how much log p would fall if the
embedding were zero. The gradient comes from the layers' own backward passes, over windows of the last characters before
t that begin with the state in which the model reached them.

Gradient times input: Shrikumar et al. (2016), arXiv:1605.01713; Li et al. (2016), arXiv:1506.01066, plot its norm.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.models.registry import apply_layer, apply_layers
from jaxrnn.types import Array, Carry, Params

_BLOCK = 64  # characters whose windows are computed at once
_MOST_WORK = 5e11  # parameters times characters times distance: about 20 s on 2 CPU cores


def saliency(
    config: ModelConfig, params: Params, ids: np.ndarray, back: int = 50, separator_id: int | None = None
) -> np.ndarray:
    """Return the contribution of each earlier character to the log-probability of each character.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least one.
        back: how many characters to look back.
        separator_id: the token before which the state is reset (`Vocabulary.separator_id`), or None.

    Returns:
        `[characters, back]`, float32, nats: row t has the contributions of the characters 1, 2, ... before t, 0 before
        the start of the text. For a large model and a long text, only the first rows.
    """
    most = int(_MOST_WORK / (back * stack.count_parameters(params)))
    count = min(ids.size, max(_BLOCK, most))
    blocks = -(-count // _BLOCK)
    tokens = np.zeros(back + blocks * _BLOCK, np.int32)  # the text begins at `back`
    tokens[back : back + count] = ids[:count]
    resets = (tokens == separator_id) if separator_id is not None else np.zeros(tokens.shape, bool)
    resets[: back + 1] = True  # what is read before the text has no effect on it
    carry = stack.initial_carry(config, params, 1)
    rows = []
    for start in range(0, blocks * _BLOCK, _BLOCK):
        here = slice(start, start + _BLOCK + back)
        carry, of_block = _of_block(
            config, back, params, carry, jnp.asarray(tokens[here]), jnp.asarray(resets[here])
        )
        rows.append(np.asarray(of_block))
    is_before = np.arange(count)[:, None] <= np.arange(back)
    return np.where(is_before, np.float32(0), np.concatenate(rows)[:count])


@partial(jax.jit, static_argnums=(0, 1))
def _of_block(
    config: ModelConfig, back: int, params: Params, carry: Carry, tokens: Array, resets: Array
) -> tuple[Carry, Array]:
    """Return the saliency `[block, back]` of the tokens from `back` on, and the carry before the next block.

    Args:
        config: the layers.
        back: how many tokens to look back.
        params: their parameters.
        carry: before the first of the tokens, of a batch of 1.
        tokens: `[block + back]`.
        resets: whether the state is reset before each, `[block + back]`.
    """
    block = tokens.size - back

    def read(carry: Carry, here: tuple[Array, Array]) -> tuple[Carry, Carry]:
        token, reset = here
        return stack.step(config, params, None, carry, token[None], reset[None])[0], carry

    carry_after, carries = jax.lax.scan(read, carry, (tokens[:block], resets[:block]))
    starts = jax.tree.map(lambda leaf: leaf[:, 0], carries)  # before each window, [block, ...]
    windows = jnp.arange(back)[:, None] + jnp.arange(block)  # [back, block], time-major
    _, embedded = apply_layer(config.layers[0], params[0], starts[0], tokens[windows])

    def log_probability(embedded: Array) -> Array:
        _, hs = apply_layers(
            config.layers[1:-1], params[1:-1], starts[1:-1], embedded, resets=resets[windows]
        )
        _, logits = apply_layer(config.layers[-1], params[-1], starts[-1], hs[-1:])
        return -softmax_cross_entropy(logits[0], tokens[back:]).sum()  # windows don't mix

    gradient = jax.grad(log_probability)(embedded)
    contributions = (gradient.astype(jnp.float32) * embedded.astype(jnp.float32)).sum(axis=-1)
    return carry_after, contributions[::-1].T
