"""Axis letters, array aliases and shape checks shared by the recurrent layers.

Shapes are written with these letters or words:

    T   time       time steps of a sequence (tokens)
    B   batch      sequences in a batch
    I   input      input features of a layer
    H   hidden     units of a recurrent layer
    V   vocabulary distinct tokens

Inside the layers all sequences are time-major, `[time, batch, ...]`; batches of tokens are `[batch, time]`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed key: jax.random.key(0)
Params: TypeAlias = Any  # a NamedTuple of arrays, or a tuple of such
Carry: TypeAlias = Any  # a NamedTuple of arrays [batch, hidden]; () for a layer without state
# Called with the task, the amount done and the total; 0 if the total is unknown.
OnProgress: TypeAlias = Callable[[str, int, int], None]
NO_GRADIENT: Any = None  # returned by a backward pass for an argument that has no gradient


def check_sequence(name: str, xs: Array, w_x: Array, w_h: Array, carry: tuple[Array, ...]) -> None:
    """Check that `xs` is `[time, batch, input]` and matches the weights and the carry of the layer `name`.

    Raises:
        ValueError: The rank is not 3, or a size or dtype does not match; the message has both.
    """
    if xs.ndim != 3:
        raise ValueError(f"{name}: xs must be [time, batch, input], got shape {xs.shape}")
    if xs.shape[2] != w_x.shape[0]:
        raise ValueError(f"{name}: xs has {xs.shape[2]} features, but w_x {w_x.shape} takes {w_x.shape[0]}")
    batch_size, hidden_size = xs.shape[1], w_h.shape[0]
    for field in carry:
        if field.shape != (batch_size, hidden_size):
            raise ValueError(
                f"{name}: the carry must be [batch={batch_size}, hidden={hidden_size}], got shape {field.shape}"
            )
        if field.dtype != xs.dtype:
            raise ValueError(
                f"{name}: xs is {xs.dtype} and the carry {field.dtype}; convert one of them (xs.astype)"
            )


def check_mask(name: str, mask: Array | None, h: Array) -> None:
    """Check that the recurrent dropout mask of the layer `name`, unless None, has the shape of the hidden state.

    Raises:
        ValueError: The shapes differ; the message has both.
    """
    if mask is not None and mask.shape != h.shape:
        raise ValueError(f"{name}: the mask must be [batch, hidden], {h.shape}, got shape {mask.shape}")


def check_resets(name: str, resets: Array | None, xs: Array) -> None:
    """Check that the resets of the layer `name`, unless None, are booleans `[time, batch]`.

    Raises:
        ValueError: The shape or dtype is another; the message has both.
    """
    if resets is not None and (resets.shape != xs.shape[:2] or resets.dtype != bool):
        raise ValueError(
            f"{name}: resets must be bool [time, batch], {xs.shape[:2]}, got {resets.dtype} of shape {resets.shape}"
        )
