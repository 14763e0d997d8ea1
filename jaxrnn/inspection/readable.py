"""Features that a reader sees in a text, and the units that follow it.

A feature is a number at each character, known once that character has been read: is this inside quotes, how far into
the line is it? A unit tracks a feature where its activity correlates with it (Pearson's r; its sign is a matter of the
weights' signs and means nothing). Among hundreds of units some correlate with anything by chance, so units are chosen
on the first half of the text, and the score that is reported is theirs on the second half. An untrained network also
has units that follow something: its state is a random function of the last characters. Its best score, found in the
same way, is the baseline of a feature.

After Karpathy, Johnson and Li (2015), "Visualizing and Understanding Recurrent Networks", arXiv:1506.02078.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from jaxrnn.data.vocabulary import Text
from jaxrnn.inspection.activity import STATES, Track

# Characters in each half that must have a feature: with fewer there is nothing to follow.
_FEWEST = 8
_FEWEST_TIMES = 4  # separate occurrences in each half, such as lines or quotations: one line is not evidence


class Tracking(NamedTuple):
    """A unit that follows a feature."""

    feature: str
    layer: int  # its place in the config's list, from 0
    kind: str  # "h" or "c"
    unit: int  # from 0
    score: float  # r on the second half of the text, from -1 to 1
    baseline: float  # the best score of an untrained network for this feature, from 0 to 1


def features(text: str, patterns: Sequence[re.Pattern[str]] = ()) -> dict[str, np.ndarray]:
    """Return what can be seen in a text: for each feature `[characters]`, 0 and 1 or a count.

    The characters in a match of a pattern are a feature too.

    Quotes are curly, guillemets or straight double ones. Straight ones open and close alternately, and a paragraph ends
    them, so that a missing quote has no effect beyond it.
    """
    characters = list(text)
    return {
        "inside quotes": _flags(_inside_quotes(text)),
        "inside brackets": _flags(_inside_brackets(text)),
        "position in the line": np.array(_positions(text), np.float32),
        "after a colon": _flags(_after_a_colon(text)),
        "upper case": _flags(c.isupper() for c in characters),
        "word boundary": _flags(not (c.isalnum() or c in "'\u2019_") for c in characters),
        "digit": _flags(c.isdigit() for c in characters),
    } | {f"pattern {pattern.pattern}": _matches(pattern, text) for pattern in patterns}


def _matches(pattern: re.Pattern[str], text: str) -> np.ndarray:
    flags = np.zeros(len(text), np.float32)
    for match in pattern.finditer(text):
        flags[match.start() : match.end()] = 1
    return flags


def features_of_bytes(data: bytes, patterns: Sequence[re.Pattern[str]] = ()) -> dict[str, np.ndarray]:
    """Return the features of a UTF-8 text at each of its bytes `[bytes]`; a character counts from its last byte on."""
    text = data.decode("utf-8", "surrogateescape")
    ends = np.cumsum([len(c.encode("utf-8", "surrogateescape")) for c in text])
    read = np.searchsorted(ends, np.arange(1, len(data) + 1), side="right")  # characters, at each byte
    before = np.zeros(1, np.float32)
    return {
        name: np.concatenate([before, feature])[read] for name, feature in features(text, patterns).items()
    }


def _flags(values: Iterable[bool]) -> np.ndarray:
    return np.fromiter(values, np.float32)


def _inside_quotes(text: str) -> list[bool]:
    closing = {'"': '"', "\u201c": "\u201d", "\u00ab": "\u00bb", "\u201e": "\u201c"}
    flags, until, line_is_empty = [], "", False
    for c in text:
        if until and (c == until or (c == "\n" and line_is_empty)):
            until = ""
        elif not until:
            until = closing.get(c, "")
        line_is_empty = c == "\n" or (line_is_empty and c in " \t")
        flags.append(bool(until))
    return flags


def _inside_brackets(text: str) -> list[bool]:
    flags, depth = [], 0
    for c in text:
        depth = max(0, depth + (c in "([{") - (c in ")]}"))
        flags.append(depth > 0)
    return flags


def _positions(text: str) -> list[int]:
    """Return the number of characters since the last newline; of a newline 0."""
    positions, position = [], 0
    for c in text:
        position = 0 if c == "\n" else position + 1
        positions.append(position)
    return positions


def _after_a_colon(text: str) -> list[bool]:
    """Flag what follows a colon to the end of its line, or of the next line where the colon ends its own."""
    flags = [False] * len(text)
    for match in re.finditer(r":[ \t]*\n?[^\n:]*", text):
        flags[match.start() : match.end()] = [True] * (match.end() - match.start())
    return flags


def correlations(values: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """Return Pearson's r of each column of `values` `[time, units]` with `feature` `[time]`; 0 for a constant."""
    centred = values - values.mean(axis=0)
    wanted = feature - feature.mean()
    lengths = np.sqrt((centred.astype(np.float64) ** 2).sum(axis=0) * (wanted.astype(np.float64) ** 2).sum())
    products = wanted.astype(np.float64) @ centred
    r: np.ndarray = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-9)
    return r


def find_tracking(
    text: Text,
    tracks: Iterable[Track],
    untrained: Iterable[Track] = (),
    patterns: Sequence[re.Pattern[str]] = (),
    best: int = 3,
) -> list[Tracking]:
    """Return the units that follow each feature best, the best feature first.

    Args:
        text: The text that the model read.
        tracks: The observed activations; only states are used, not gates.
        untrained: Those of an untrained network of the same config on the same text, for the baseline.
        patterns: Regular expressions whose matches are features too.
        best: how many units a feature.

    Returns:
        Chosen on the first half of the text, scored on the second. A feature that hardly
        occurs in one of them has none.
    """
    half = len(text) // 2
    seen = features_of_bytes(text, patterns) if isinstance(text, bytes) else features(text, patterns)
    states, untrained_states = ([t for t in each if t.kind in STATES] for each in (tracks, untrained))
    found = []
    for name, feature in seen.items():
        if not (_varies(feature[:half]) and _varies(feature[half:])):
            continue
        baseline = max(
            (abs(score) for *_, score in _best_units(untrained_states, feature, best)), default=0.0
        )
        chosen = [
            Tracking(name, track.layer, track.kind, unit, score, baseline)
            for track, unit, score in _best_units(states, feature, best)
        ]
        found.append(sorted(chosen, key=lambda tracking: -abs(tracking.score)))
    found.sort(key=lambda chosen: -abs(chosen[0].score) if chosen else 0)
    return [tracking for chosen in found for tracking in chosen]


def _best_units(
    states: Sequence[Track], feature: np.ndarray, best: int
) -> Iterator[tuple[Track, int, float]]:
    """Yield the states that follow a feature best on the first half, and their r on the second."""
    half = len(feature) // 2
    candidates = [
        (abs(float(r)), unit, track)
        for track in states
        for unit, r in enumerate(correlations(track.values[:half], feature[:half]))
    ]
    candidates.sort(key=lambda candidate: -candidate[0])
    units: dict[tuple[int, int], Track] = {}
    for _, unit, track in candidates:
        units.setdefault((track.layer, unit), track)  # of its h and c, what follows the feature better
    for (_, unit), track in islice(units.items(), best):
        (score,) = correlations(track.values[half:, [unit]], feature[half:])
        yield track, unit, float(score)


def _varies(feature: np.ndarray) -> bool:
    """Return whether a feature occurs, and is absent, often enough to be followed."""
    is_there = feature > 0
    times = int((is_there[1:] & ~is_there[:-1]).sum())  # beginnings after the start of the text
    return times >= _FEWEST_TIMES and int(is_there.sum()) >= _FEWEST
