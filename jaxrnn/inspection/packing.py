"""Activations as text of a bounded size: quantized, packed, deflated, and encoded in base64.

Each value becomes one of a few levels between a lowest and a highest, an odd number of them so that the middle is one.
Units are stored one after another, because a reader looks at one at a time and its neighbors in time are alike.

A page holds about 1.7 MB of them, so the number of levels depends on the size of the model and of the text.
Units that the page names (`Track` and unit in a ranking) keep 255 levels for longest, then states, then gates.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from jaxrnn.inspection.activity import GATES, STATES, Track

# Levels of ranked states, ranked gates, other states, other gates, finest first; 0 leaves the values out. The first row
# that fits the budget is used.
_LEVELS = (
    (255, 255, 255, 255),
    (255, 255, 255, 15),
    (255, 255, 63, 15),
    (255, 255, 31, 15),
    (255, 255, 15, 9),
    (255, 255, 15, 3),
    (255, 255, 9, 3),
    (255, 255, 15, 0),
    (255, 255, 9, 0),
    (255, 255, 7, 0),
    (255, 255, 5, 0),
    (255, 255, 3, 0),
    (255, 255, 0, 0),
    (255, 15, 0, 0),
    (255, 0, 0, 0),
    (15, 0, 0, 0),
    (0, 0, 0, 0),
)
_EVERY = 8  # of the other units, one in so many is packed to estimate the size


class Levels(NamedTuple):
    """The number of levels of each group of values; 0 for values that are left out."""

    ranked_states: int
    ranked_gates: int
    states: int
    gates: int


class Packed(NamedTuple):
    """A track, as the page reads it. Of the pairs, the first is of the ranked units, the second of the others."""

    low: float  # the value of the first level, in units of `scales`; that of the last is 1
    scales: list[float]  # by unit: its largest absolute value if the track is a state, else 1
    ranked: list[int]  # the ranked units, ascending
    levels: tuple[int, int]
    per_byte: tuple[int, int]
    data: tuple[str, str]  # from `pack`


def pack_tracks(
    tracks: Sequence[Track], ranked: Mapping[int, Sequence[int]], budget: int
) -> tuple[Levels, list[Packed]]:
    """Pack tracks with as many levels as fit.

    Args:
        tracks: states and gates.
        ranked: by layer, the units that keep most levels.
        budget: the most characters that `data` of all tracks may have, 0 or more.

    Returns:
        The levels, and the tracks in their order.
    """
    for levels in _LEVELS:
        estimates = (_estimate_size(track, ranked.get(track.layer, ()), levels) for track in tracks)
        if any(size > budget for size in accumulate(estimates)):  # the rest need not be packed
            continue
        packed = [_pack_track(track, ranked.get(track.layer, ()), levels) for track in tracks]
        if sum(len(data) for track in packed for data in track.data) <= budget:
            break
    return Levels(*levels), packed


def _estimate_size(track: Track, ranked: Sequence[int], levels: tuple[int, int, int, int]) -> int:
    """Estimate the size of a packed track from all of its ranked units and an eighth of the others."""
    fine = [unit for unit in sorted(set(ranked)) if unit < track.values.shape[1]]
    others = np.delete(np.arange(track.values.shape[1]), fine)[::_EVERY]
    few = track._replace(values=track.values[:, [*fine, *others]])
    of_ranked, of_others = _pack_track(few, range(len(fine)), levels).data
    return len(of_ranked) + _EVERY * len(of_others)


def _pack_track(track: Track, ranked: Sequence[int], levels: tuple[int, int, int, int]) -> Packed:
    is_state, low = track.kind in STATES, 0.0 if track.kind in GATES else -1.0
    of_track = (levels[0], levels[2]) if is_state else (levels[1], levels[3])
    size = track.values.shape[1]
    largest = np.abs(track.values).max(axis=0) if is_state else np.ones(size)
    scales = np.array([float(f"{max(value, 1e-6):.3g}") for value in largest])
    fine = [unit for unit in sorted(set(ranked)) if unit < size]
    scaled = track.values / scales
    halves = scaled[:, fine], np.delete(scaled, fine, axis=1)
    return Packed(
        low,
        scales.tolist(),
        fine,
        of_track,
        (levels_per_byte(of_track[0]), levels_per_byte(of_track[1])),
        (pack(halves[0], low, 1.0, of_track[0]), pack(halves[1], low, 1.0, of_track[1])),
    )


def pack(values: np.ndarray, low: float, high: float, levels: int) -> str:
    """Pack values `[characters, units]` into base64.

    Args:
        values: values outside of low and high are clipped.
        low: the value of the first level.
        high: the value of the last level.
        levels: 2 to 256, or 0 to leave the values out.

    Returns:
        Base64 of deflated bytes: unit by unit its levels in time, as many to a byte as fit (`levels_per_byte`), the
        first of them the least digit; each unit begins with a byte of its own. Empty without units or levels.
    """
    if levels == 0 or values.size == 0:
        return ""
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
    """Return how many digits to the base `levels` a byte holds: 5 of base 3, 2 of base 15; 1 of base 0."""
    return max(n for n in range(1, 9) if levels**n <= 256) if levels else 1
