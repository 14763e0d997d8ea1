"""Activities in few shades, for a page that has to be small: quantised, packed, deflated, and written as text.

A heat map needs no more shades than an eye can tell apart. Each value becomes one of a few levels between a lowest and
a highest, an odd number of them so that the middle is one. Units are stored one after another, as a reader looks at one
at a time and its neighbours in time are alike.
"""

import base64
import zlib

import numpy as np


def pack(values: np.ndarray, low: float, high: float, levels: int) -> str:
    """Pack values `[characters, units]` into base64.

    Args:
        values: what lies outside of low and high is shown as the nearer of these.
        low: the value of the first level.
        high: the value of the last level.
        levels: how many there are, 2 to 256.

    Returns:
        Base64 of deflated bytes: unit by unit its levels in time, as many to a byte as fit (`levels_per_byte`), the
        first of them the least digit; each unit begins with a byte of its own.
    """
    digits = quantise(values, low, high, levels).T
    per_byte = levels_per_byte(levels)
    padded = np.pad(digits, ((0, 0), (0, -digits.shape[1] % per_byte)))
    places = np.array([levels**place for place in range(per_byte)], np.uint8)
    packed = (padded.reshape(len(digits), -1, per_byte) * places).sum(axis=-1, dtype=np.uint8)
    return base64.b64encode(zlib.compress(packed.tobytes(), 9)).decode("ascii")


def quantise(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    """Return the nearest level of each value, from 0 to `levels - 1`, uint8."""
    scaled = (np.clip(values, low, high) - low) * ((levels - 1) / (high - low))
    nearest: np.ndarray = np.rint(scaled).astype(np.uint8)
    return nearest


def levels_per_byte(levels: int) -> int:
    """Return how many digits to the base `levels` a byte holds: 5 of base 3, 2 of base 15."""
    return max(n for n in range(1, 9) if levels**n <= 256)
