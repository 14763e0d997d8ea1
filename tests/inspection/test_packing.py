"""Packed activations are accurate to half a shade."""

import base64
import zlib

import numpy as np
import pytest

from jaxrnn.inspection.packing import levels_per_byte, pack, quantise

LEVELS = (2, 3, 5, 9, 15, 255, 256)


def unpack(packed: str, shape: tuple[int, int], low: float, high: float, levels: int) -> np.ndarray:
    """Unpack as page.js does."""
    characters, units = shape
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    per_byte = levels_per_byte(levels)
    rows = data.reshape(units, -(-characters // per_byte)).astype(int)
    digits = np.stack([rows // levels**place % levels for place in range(per_byte)], axis=-1)
    return low + digits.reshape(units, -1)[:, :characters].T * ((high - low) / (levels - 1))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("shape", [(1, 1), (17, 3), (60, 2)])
def test_values_are_accurate_to_half_a_shade(levels: int, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).uniform(-2, 2, shape).astype(np.float32)
    found = unpack(pack(values, -2.0, 2.0, levels), shape, -2.0, 2.0, levels)
    assert np.abs(found - values).max() <= 2 / (levels - 1) + 1e-6


@pytest.mark.parametrize("levels", LEVELS)
def test_limits_are_exact_and_values_beyond_are_clipped(levels: int) -> None:
    values = np.array([[0.0], [1.0], [-7.0], [7.0]])
    assert quantise(values, 0.0, 1.0, levels)[:, 0].tolist() == [0, levels - 1, 0, levels - 1]


def test_an_odd_number_of_shades_has_a_middle() -> None:
    assert [quantise(np.zeros((1, 1)), -1.0, 1.0, levels)[0, 0] for levels in (3, 5, 255)] == [1, 2, 127]


@pytest.mark.parametrize(("levels", "count"), [(2, 8), (3, 5), (5, 3), (15, 2), (16, 2), (17, 1), (256, 1)])
def test_a_byte_packs_as_many_values_as_fit(levels: int, count: int) -> None:
    assert levels_per_byte(levels) == count
    assert levels**count <= 256 < levels ** (count + 1)
