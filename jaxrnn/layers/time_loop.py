"""The loop over time that every recurrence runs in: a `lax.scan` that writes where it is told to."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.types import Array

Step = Callable[[Any, Any, Any], tuple[Any, Any]]  # (carry, x_t, y_t) -> (carry, what takes y_t's place)


def time_loop(step: Step, carry: Any, xs: Any, ys: Any, *, reverse: bool = False) -> tuple[Any, Any]:
    """Run `step` for every index t of the leading axis, first to last or, with `reverse`, last to first.

    `lax.scan` writes its outputs into new arrays. Here they are given: their content may be read at step t before it is
    overwritten, so that a layer's gates replace its input projections, which saves an array and a
    pass through memory. Arrays that are only written begin as `blank`. JAX can't differentiate such a loop: it
    belongs inside a `custom_vjp`.

    Args:
        step: one step; called once, to be traced.
        carry: the carry of the first step.
        xs: a tree of arrays `[time, ...]` that are read.
        ys: a tree of arrays `[time, ...]` that are written over.
        reverse: whether time runs backwards.

    Returns:
        The carry after the last step, and `ys` as they are then.
    """
    length = jax.tree.leaves(ys)[0].shape[0]
    if length == 0:  # no step could be traced
        return carry, ys

    def body(count: Array, loop: tuple[Any, Any]) -> tuple[Any, Any]:
        carry, ys = loop
        t = jnp.uint32(length - 1) - count if reverse else count

        def read(array: Array) -> Any:
            return lax.dynamic_index_in_dim(array, t, keepdims=False)

        def write(array: Array, new: Array) -> Any:
            return lax.dynamic_update_index_in_dim(array, new, t, 0)

        carry, new = step(carry, jax.tree.map(read, xs), jax.tree.map(read, ys))
        return carry, jax.tree.map(write, ys, new)

    # An unsigned count needs no look at whether it is negative.
    done: tuple[Any, Any] = lax.fori_loop(jnp.uint32(0), jnp.uint32(length), body, (carry, ys))
    return done


def blank(length: int, like: Array) -> Array:
    """Return an uninitialized array of `length` rows like the given one, for `ys` that are only written."""
    return jnp.empty((length, *like.shape), like.dtype)
