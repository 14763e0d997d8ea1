"""Two ways to turn gradients into better parameters: plain gradient descent, and Adam.

Parameters and their gradients are the same nest of tuples with arrays at the ends; `map_leaves` applies a
function to each array and its counterparts, and keeps the nest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply the function to every array of a nest of tuples and to its counterparts in the other nests; None stays."""
    if tree is None:
        return None
    if not isinstance(tree, tuple):
        return function(tree, *others)
    branches = [map_leaves(function, *parts) for parts in zip(tree, *others, strict=True)]
    return tree._make(branches) if hasattr(tree, "_make") else tuple(branches)  # a NamedTuple stays one


def gradient_descent(params: Any, gradients: Any, learning_rate: float) -> Any:
    """One step downhill: params - learning_rate * gradients."""
    return map_leaves(lambda p, g: p - learning_rate * g, params, gradients)


class AdamState(NamedTuple):
    """What Adam remembers."""

    step: int  # updates done
    mean: Any  # running mean of the gradients, as nested as params
    square: Any  # running mean of their squares


def init_adam(params: Any) -> AdamState:
    """Nothing seen yet."""
    zeros = map_leaves(np.zeros_like, params)
    return AdamState(step=0, mean=zeros, square=zeros)


def adam(
    params: Any,
    gradients: Any,
    state: AdamState,
    learning_rate: float,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Any, AdamState]:
    """Adam (Kingma and Ba 2015): a parameter moves by about learning_rate, however large its gradient.

        mean   = b1 * mean   + (1 - b1) * g
        square = b2 * square + (1 - b2) * g^2
        p      = p - learning_rate * mean_hat / (sqrt(square_hat) + eps)

    Both running means start at zero, so early on they are too small: after k updates with equal gradients
    g, mean is (1 - b1^k) * g. Divided by that factor they are right from the start: mean_hat = mean / (1
    - b1^k), square_hat likewise. So the very first step is learning_rate * g / (|g| + eps): the learning
    rate, against the sign of the gradient. Without the correction it would be (1 - b1) / sqrt(1 - b2),
    about three times that.

    Returns:
        The new parameters and the new state.
    """
    step = state.step + 1

    def new_mean(mean: Array, g: Array) -> Array:
        return b1 * mean + (1 - b1) * g

    def new_square(square: Array, g: Array) -> Array:
        return b2 * square + (1 - b2) * g**2

    def new_parameter(p: Array, mean: Array, square: Array) -> Array:
        mean_hat = mean / (1 - b1**step)
        square_hat = square / (1 - b2**step)
        return p - learning_rate * mean_hat / (np.sqrt(square_hat) + eps)

    mean = map_leaves(new_mean, state.mean, gradients)
    square = map_leaves(new_square, state.square, gradients)
    return map_leaves(new_parameter, params, mean, square), AdamState(step, mean, square)
