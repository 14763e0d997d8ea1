"""Resets: where another document begins in the middle of a sequence, the state is reset to zeros before its first step.

forward     keep_t = 1 - reset_t                    [batch, 1]: 0 where a document begins with step t, else 1
            A layer reads keep_t * h_{t-1} in place of h_{t-1}, and keep_t * c_{t-1} in place of c_{t-1}.

backward    What step t sends back gets the same factor: dh_{t-1} = keep_t * (what the layer's equations say), and
            dc_{t-1} likewise. So no gradient crosses the beginning of a document. The weights' gradients are sums over
            what was read: dW_h = sum_t (keep_t * h_{t-1})^T dz_t. The resets themselves have no gradient.

In the code the product is a choice, so that a state that is not finite becomes zero as well.

Step by step: docs/maths.md, section 14.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxrnn.types import Array

States = TypeVar("States")


def find_resets(ids: Array, separator_id: int | None) -> Array | None:
    """Return where a state is reset before an id is read.

    Args:
        ids: tokens, of any shape.
        separator_id: the token at which a document begins (`Vocabulary.separator_id`), or None.

    Returns:
        A bool for each token; None without a separator.
    """
    return None if separator_id is None else ids == separator_id


def reset_state(states: States, resets: Array | None) -> States:
    """Return `keep * states`.

    Args:
        states: an array or a carry, `[..., batch, hidden]`.
        resets: bool `[..., batch]`; None resets nothing.
    """
    if resets is None:
        return states
    is_reset = resets[..., None]
    kept: States = jax.tree.map(lambda state: jnp.where(is_reset, 0, state), states)
    return kept
