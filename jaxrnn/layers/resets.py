"""Resets: where another text begins in the middle of a sequence, the state is emptied before its first step.

forward     keep_t = 1 - reset_t                    [batch, 1]: 0 where a text begins with step t, else 1
            A layer reads keep_t * h_{t-1} where it would have read h_{t-1}, and keep_t * c_{t-1} where c_{t-1}.

backward    What step t sends back meets the same factor: dh_{t-1} = keep_t * (what the layer's equations say), and
            dc_{t-1} likewise. So no gradient leaves a text by its beginning. The weights' gradients are sums over
            what was read: dW_h = sum_t (keep_t * h_{t-1})^T dz_t. The resets themselves have no gradient.

In the code the product is a choice, so that what is emptied is empty even where it was not a number.

Step by step: docs/maths.md, section 14.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxrnn.types import Array

States = TypeVar("States")


def emptied(states: States, resets: Array | None) -> States:
    """`keep * states`: an array or a carry `[..., batch, hidden]`, by resets `[..., batch]`; None empties nothing."""
    if resets is None:
        return states
    is_reset = resets[..., None]
    kept: States = jax.tree.map(lambda state: jnp.where(is_reset, 0, state), states)
    return kept
