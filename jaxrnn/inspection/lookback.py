"""How far back a model looks: the gradient of a prediction's loss with respect to the states before it.

For a character t of a text and k = 1, 2, ... the norm of d loss_t / d h_{t-k}: how much the loss would change with the
state that a layer had k characters earlier, with the same characters since then. It comes from the layers'
own backward passes, one step at a time:

    dcarry_{t-1} = backward pass of step t, from d loss_t,   dcarry_{s-1} = backward pass of step s, from dcarry_s

which is the gradient with respect to zeros that are added to each carry. Each unit's gradient is multiplied by the
standard deviation of its state, over all steps and places: the loss per typical change. Otherwise the curves of h,
which stays between -1 and 1, and of c, which may be 30 times as large, could not be compared.

Where it falls to nothing, the model may still remember; but training, which follows gradients, could not have taught it
to (docs/maths.md, section 12).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.types import Array, Carry, Params

_WINDOWS = 64  # places in the text that are looked back from
_WARM_UP = 100  # characters read before, so that no state is fresh


class LookBack(NamedTuple):
    """How much an earlier state of one layer matters.

    Attributes:
        layer: its index in the config's list, from 0.
        field: of the carry: "h" or "c".
        norms: `[k]`, float32: nats per standard deviation of the state, 1, 2, ... characters back; medians over places
            in the text.
    """

    layer: int
    field: str
    norms: np.ndarray


def look_back(
    config: ModelConfig,
    params: Params,
    ids: np.ndarray,
    steps: int = 100,
    separator_id: int | None = None,
) -> tuple[LookBack, ...]:
    """Measure how a text's predictions depend on the states before them.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`.
        steps: how many characters to look back; fewer where the text is short.
        separator_id: the token before which the state is reset (`Vocabulary.separator_id`), or None.

    Returns:
        One curve for each field of each layer's carry; none for a text under three characters.
    """
    steps = min(steps, ids.size - 2)
    if steps < 1:
        return ()
    warm_up = min(_WARM_UP, ids.size - 2 - steps)
    length = warm_up + steps + 2  # the tokens read, and the token predicted at the end
    places = np.unique(np.linspace(0, ids.size - length, _WINDOWS).astype(int))
    windows = ids[places[:, None] + np.arange(length)].astype(np.int32)
    norms = _norms(config, warm_up, separator_id, params, jnp.asarray(windows))
    return tuple(
        LookBack(index, field, np.median(np.asarray(values), axis=1))
        for index, of_layer in enumerate(norms)
        if (state := stack.hidden_carry(of_layer))
        for field, values in state._asdict().items()
        if field in ("h", "c")
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _norms(
    config: ModelConfig, warm_up: int, separator_id: int | None, params: Params, windows: Array
) -> Carry:
    """Return the norms `[steps, places]` by layer and field of windows `[places, length]`, the nearest state first."""
    carry = stack.initial_carry(config, params, windows.shape[0])
    first, inputs, targets = windows[:, : warm_up + 1], windows[:, warm_up + 1 : -1].T, windows[:, -1]
    carry, _ = stack.apply(config, params, carry, first, resets=find_resets(first, separator_id))

    @jax.checkpoint  # keeps the carries alone in memory, not every gate
    def read(carry: Carry, nudge: Carry, token: Array) -> tuple[Carry, Array]:
        carry = jax.tree.map(jnp.add, carry, nudge)
        return stack.step(config, params, None, carry, token, find_resets(token, separator_id))

    def last_loss(nudges: Carry) -> tuple[Array, Carry]:
        earlier = jax.tree.map(lambda leaf: leaf[:-1], nudges)
        last = jax.tree.map(lambda leaf: leaf[-1], nudges)

        def step(carry: Carry, here: tuple[Carry, Array]) -> tuple[Carry, Carry]:
            return read(carry, *here)[0], carry

        before, states = jax.lax.scan(step, carry, (earlier, inputs[:-1]))
        _, logits = read(before, last, inputs[-1])
        states = jax.tree.map(lambda early, late: jnp.concatenate([early, late[None]]), states, before)
        return softmax_cross_entropy(logits, targets).sum(), states  # places don't mix

    zeros = jax.tree.map(lambda leaf: jnp.zeros((len(inputs), *leaf.shape), leaf.dtype), carry)
    d_carries, states = jax.grad(last_loss, has_aux=True)(zeros)

    def norm(d: Array, state: Array) -> Array:
        deviation = state.astype(jnp.float32).std(axis=(0, 1))
        length: Array = jnp.linalg.norm(d[::-1].astype(jnp.float32) * deviation, axis=-1)
        return length

    norms: Carry = jax.tree.map(norm, d_carries, states)
    return norms
