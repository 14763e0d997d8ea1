"""The loop over time that every recurrence runs in, in the form that suits the device.

A CPU is limited by memory: its loop writes results over arrays that are no longer needed, which a `lax.scan` can't. A
GPU is limited by the number of kernels it launches, about a microsecond each: its loop is a `lax.scan` with several
steps in a row, whose outputs are written together. A TPU gains nothing by that, and has the loop of the CPU.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.export import is_symbolic_dim

from jaxrnn.types import Array

_UNROLLED = 8  # time steps in a row on a GPU: 16 save few launches more, and compile for twice as long

Step = Callable[[Any, Any, Any], tuple[Any, Any]]  # (carry, x_t, y_t) -> (carry, what takes y_t's place)


def time_loop(step: Step, carry: Any, xs: Any, ys: Any, *, reverse: bool = False) -> tuple[Any, Any]:
    """Run `step` for every index t of the leading axis, first to last or, with `reverse`, last to first.

    Outputs take the place of the arrays `ys`, whose content at step t may be read before: a layer's gates replace its
    input projections, which saves a CPU an array and a pass through memory. Arrays that are only written begin as
    `blank`. JAX can't differentiate such a loop: it belongs inside a `custom_vjp`.

    Args:
        step: one step; only traced.
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
    in_place = partial(_in_place, step, reverse)
    if is_symbolic_dim(length):  # a program for sequences of any length can't be unrolled
        return in_place(carry, xs, ys)
    unrolled = partial(_unrolled, step, reverse)
    done: tuple[Any, Any] = lax.platform_dependent(
        carry, xs, ys, cuda=unrolled, rocm=unrolled, default=in_place
    )
    return done


def _in_place(step: Step, reverse: bool, carry: Any, xs: Any, ys: Any) -> tuple[Any, Any]:
    length = jax.tree.leaves(ys)[0].shape[0]

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


def _unrolled(step: Step, reverse: bool, carry: Any, xs: Any, ys: Any) -> tuple[Any, Any]:
    def body(carry: Any, here: tuple[Any, Any]) -> tuple[Any, Any]:
        return step(carry, *here)

    return lax.scan(body, carry, (xs, ys), reverse=reverse, unroll=_UNROLLED)


def blank(length: int, like: Array) -> Array:
    """Return an uninitialized array of `length` rows like the given one, for `ys` that are only written."""
    return jnp.empty((length, *like.shape), like.dtype)
