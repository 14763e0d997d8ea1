"""Packed activations are accurate to half a shade."""

import base64
import zlib

import numpy as np
import pytest

from jaxrnn.inspection.activity import Track
from jaxrnn.inspection.packing import levels_per_byte, pack, pack_tracks, quantise

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


def test_without_a_budget_everything_is_left_out() -> None:
    tracks = [Track(1, kind, np.ones((5, 4), np.float32)) for kind in "hi"]
    levels, packed = pack_tracks(tracks, {1: [2, 2, 0]}, budget=0)
    assert set(levels) == {0}
    assert [(track.ranked, track.data) for track in packed] == [([0, 2], ("", ""))] * 2


def test_the_data_fit_the_budget() -> None:
    rng = np.random.default_rng(0)
    tracks = [Track(1, kind, rng.normal(size=(60, 40)).astype(np.float32)) for kind in "hcif"]
    for budget in (500, 1000, 4000, 20_000):
        levels, packed = pack_tracks(tracks, {1: [3]}, budget)
        size = sum(len(data) for track in packed for data in track.data)
        assert 0 < size <= budget
        assert levels.ranked_states >= levels.ranked_gates and levels.states >= levels.gates
