"""Shared by the layers: the array type, the sigmoid, resets, and two ways to draw a first weight matrix."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), which lies between 0 and 1: how far a gate is open.

    Written with tanh, to which it is equal, because exp(-z) overflows where z is very negative and tanh
    never does. Its derivative is s * (1 - s), with s the value returned: the backward passes need no z,
    only s.
    """
    return 0.5 * np.tanh(0.5 * z) + 0.5


def keep(resets: Array | None, xs: Array) -> Array:
    """1 - reset for each of xs [T, B, I], as [T, B, 1]: the factor on the state that a step reads; None resets nothing.

    Where a document begins in the middle of a sequence, the state is reset: step t reads k_t * h_{t-1}, and sends back
    k_t * d_h_{t-1}.
    """
    if resets is None:
        resets = np.zeros(xs.shape[:2], bool)
    kept: Array = (1 - resets[:, :, None]).astype(xs.dtype)
    return kept


def draw_uniform(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Draw a [rows, columns] matrix, uniform in +-sqrt(3 / rows).

    Its variance is 1 / rows, so that each entry of x @ w is about as large as one of x.
    """
    limit = np.sqrt(3 / rows)
    return rng.uniform(-limit, limit, (rows, columns))


def draw_orthogonal(rng: np.random.Generator, size: int) -> Array:
    """Draw a [size, size] orthogonal matrix, uniformly among them (Saxe et al. 2014, Mezzadri 2007).

    A recurrent weight is applied once a time step, so over T steps its T-th power decides what becomes of
    the state and of its gradient. An orthogonal matrix keeps the length of every vector, so that neither
    grows nor fades at first.
    """
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    # A QR routine chooses the signs of the columns of q; undoing its choice makes the draw uniform.
    return q * np.sign(np.diag(r))
