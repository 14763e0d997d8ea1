"""Axis letters, array aliases and the shape check that the recurrent layers share.

Shapes are written with these letters, or with the words next to them:

    T   time       steps of a sequence (characters)
    B   batch      sequences side by side
    I   input      features that come into a layer
    H   hidden     units of a recurrent layer
    V   vocabulary distinct characters

Inside the layers everything is time-major, `[time, batch, ...]`; tokens are `[batch, time]` at the data boundary only.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed key: jax.random.key(0)
Params: TypeAlias = Any  # a NamedTuple of arrays, or a tuple of such
Carry: TypeAlias = Any  # a NamedTuple of arrays [batch, hidden], or () where nothing is carried
# What is being done, how much of it is done, and of how much; 0 where that is unknown.
OnProgress: TypeAlias = Callable[[str, int, int], None]
NO_GRADIENT: Any = None  # what a backward pass returns for a parameter that its function does not read


def check_sequence(name: str, xs: Array, w_x: Array, hidden_size: int, carry: tuple[Array, ...]) -> None:
    """Check that `xs` is `[time, batch, input]` and fits the weights and the carry of the layer called `name`.

    Raises:
        ValueError: The rank is not 3, or a size or type disagrees; the message gives both.
    """
    if xs.ndim != 3:
        raise ValueError(f"{name}: xs must be [time, batch, input], got shape {xs.shape}")
    if xs.shape[2] != w_x.shape[0]:
        raise ValueError(f"{name}: xs has {xs.shape[2]} features, but w_x {w_x.shape} takes {w_x.shape[0]}")
    batch_size = xs.shape[1]
    for field in carry:
        if field.shape != (batch_size, hidden_size):
            raise ValueError(
                f"{name}: the carry must be [batch={batch_size}, hidden={hidden_size}], got shape {field.shape}"
            )
        if field.dtype != xs.dtype:
            raise ValueError(
                f"{name}: xs is {xs.dtype} and the carry {field.dtype}; give both one type (xs.astype)"
            )


def check_mask(name: str, mask: Array | None, h: Array) -> None:
    """Check that a mask on the state of the layer called `name`, if there is one, has the state's shape.

    Raises:
        ValueError: It has not; the message gives both shapes.
    """
    if mask is not None and mask.shape != h.shape:
        raise ValueError(f"{name}: the mask must be [batch, hidden], {h.shape}, got shape {mask.shape}")


def check_resets(name: str, resets: Array | None, xs: Array) -> None:
    """Check that the resets of the layer called `name`, if there are any, are booleans, one for each of `xs`.

    Raises:
        ValueError: They are not; the message gives what they are.
    """
    if resets is not None and (resets.shape != xs.shape[:2] or resets.dtype != bool):
        raise ValueError(
            f"{name}: resets must be bool [time, batch], {xs.shape[:2]}, got {resets.dtype} of shape {resets.shape}"
        )
