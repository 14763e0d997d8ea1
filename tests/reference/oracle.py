"""Helpers of these tests: random trees of arrays, central differences, the error between two trees."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrnn.reference.optimizer import map_leaves

STEP = 2e-4


def random_like(rng: np.random.Generator, tree: Any) -> Any:
    """A tree of normal numbers with the given structure."""
    return map_leaves(lambda leaf: rng.standard_normal(np.shape(leaf)), tree)


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of a tree, from left to right."""
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, tuple) else [tree]


def inner(cotangents: Any, outputs: Any) -> float:
    """The sum of products of outputs and cotangents, whose gradient with respect to an output is its cotangent."""
    pairs = zip(leaves(cotangents), leaves(outputs), strict=True)
    return float(sum((cotangent * output).sum() for cotangent, output in pairs))


def central_differences(function: Callable[[Any], float], tree: Any) -> Any:
    """The gradient of the function at the tree, entry by entry, with an error of order STEP**4."""
    tree = map_leaves(np.array, tree)  # copies, because entries are changed in place

    def gradient(leaf: np.ndarray) -> np.ndarray:
        result = np.empty_like(leaf)
        for index in np.ndindex(leaf.shape):
            before = float(leaf[index])

            def at(offset: float, index: tuple[int, ...] = index, before: float = before) -> float:
                leaf[index] = before + offset
                value = function(tree)
                leaf[index] = before
                return value

            near, far = at(STEP) - at(-STEP), at(2 * STEP) - at(-2 * STEP)
            result[index] = (8 * near - far) / (12 * STEP)
        return result

    return map_leaves(gradient, tree)


def relative_error(tree: Any, oracle: Any) -> float:
    """The maximum over leaves of max|a - b| / max(max|b|, 1e-8)."""
    pairs = list(zip(leaves(tree), leaves(oracle), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    return max((abs(a - b).max() / max(abs(b).max(), 1e-8) for a, b in pairs), default=0.0)
