"""Features of small texts against values set by hand, and units that follow them among noise."""

import re

import numpy as np
import pytest

from jaxrnn.inspection.activity import Track
from jaxrnn.inspection.readable import correlations, features, features_of_bytes, find_tracking

TEXT = 'He said: "No, (never)!"\nI am 42: ok\n' * 12


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotes", 'a "bc" d', "..xxx..."),
        ("inside quotes", "a \u201cbc\u201d d", "..xxx..."),
        ("inside quotes", 'a "bc\n\nd "e"', "..xxxx...xx."),  # an unclosed quotation ends with its paragraph
        ("inside brackets", "a (b [c] d) e", "..xxxxxxxx..."),
        ("inside brackets", "a) (b", "...xx"),
        ("upper case", "aBc DE\u00c9", ".x..xxx"),
        ("word boundary", "it's a-b.", "....x.x.x"),
        ("digit", "a1 23", ".x.xx"),
        ("after a colon", "a: bc\nd", ".xxxx.."),
        ("after a colon", "A:\nbc d\ne", ".xxxxxx.."),  # a name on its own line introduces a speech
    ],
)
def test_features_of_small_texts(name: str, text: str, expected: str) -> None:
    assert features(text)[name].tolist() == [mark == "x" for mark in expected]


def test_the_position_in_a_line_counts_from_the_newline() -> None:
    assert features("ab\n\ncde")["position in the line"].tolist() == [1, 2, 0, 0, 1, 2, 3]


def test_correlations_are_pearson_correlations() -> None:
    rng = np.random.default_rng(0)
    values, feature = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=50)
    expected = [np.corrcoef(values[:, unit], feature)[0, 1] for unit in range(4)]
    np.testing.assert_allclose(correlations(values, feature), expected, atol=1e-6)


def test_a_constant_correlates_with_nothing() -> None:
    assert correlations(np.ones((9, 1), np.float32), np.arange(9.0)).tolist() == [0]
    assert correlations(np.arange(9.0)[:, None], np.ones(9)).tolist() == [0]


def planted(feature: str) -> list[Track]:
    """Noise in two layers, except unit 3 of layer 2's cell, which follows a feature with negative sign."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, len(TEXT), 8)).astype(np.float32)
    noise[2, :, 3] -= 20 * features(TEXT)[feature]
    return [Track(1, "h", noise[0]), Track(2, "i", noise[1] + 1), Track(2, "c", noise[2])]


@pytest.mark.parametrize("feature", features(TEXT))
def test_a_unit_that_follows_a_feature_is_found(feature: str) -> None:
    found = next(
        tracking for tracking in find_tracking(TEXT, planted(feature)) if tracking.feature == feature
    )
    assert (found.layer, found.kind, found.unit) == (2, "c", 3)
    assert found.score < -0.9


def test_the_score_is_computed_on_the_half_not_used_for_selection() -> None:
    tracks = planted("upper case")
    tracks[2].values[len(TEXT) // 2 :, 3] = 0  # follows the feature in the first half only
    found = next(each for each in find_tracking(TEXT, tracks, best=1) if each.feature == "upper case")
    assert (found.unit, found.score) == (3, 0)


def test_gates_are_ignored_and_a_unit_is_listed_once() -> None:
    values = planted("digit")[2].values
    tracks = [Track(2, "h", values), Track(2, "c", values), Track(2, "f", values)]
    found = [each for each in find_tracking(TEXT, tracks) if each.feature == "digit"]
    assert len({each.unit for each in found}) == len(found) == 3
    assert {each.kind for each in find_tracking(TEXT, tracks)} <= {"h", "c"}


def test_the_baseline_is_the_best_score_of_the_untrained_network() -> None:
    noise, following = planted("digit")[0], planted("digit")[2]
    halves = slice(None), slice(None)
    for untrained, expected in (([], 0), ([noise], None), ([noise, following], 1)):
        (baseline,) = {
            each.baseline for each in find_tracking(TEXT, [noise], untrained) if each.feature == "digit"
        }
        best = max(abs(correlations(noise.values[halves], features(TEXT)["digit"])))
        assert baseline == pytest.approx(best if expected is None else expected, abs=0.1)


def test_the_matches_of_a_pattern_are_a_feature() -> None:
    pattern = re.compile("N.|42")
    seen = features(TEXT, [pattern])["pattern N.|42"]
    assert [TEXT[t] for t in np.flatnonzero(seen[:40])] == ["N", "o", "4", "2"]
    tracks = planted("digit")
    tracks[1] = Track(2, "h", tracks[1].values)
    tracks[1].values[:, 5] += 20 * seen
    found = find_tracking(TEXT, tracks, patterns=[pattern], best=1)
    (tracking,) = (each for each in found if each.feature == "pattern N.|42")
    assert (tracking.kind, tracking.unit) == ("h", 5)
    assert tracking.score > 0.9


@pytest.mark.parametrize(("lines", "is_found"), [(1, False), (6, False), (12, True)])
def test_a_position_in_the_line_needs_several_lines_in_each_half(lines: int, is_found: bool) -> None:
    text = "\n".join(["x" * (240 // lines)] * lines) + "\n"
    found = find_tracking(text, [Track(1, "h", features(text)["position in the line"][:, None])])
    assert [each.feature for each in found if each.feature.startswith("position")] == [
        "position in the line"
    ] * is_found


def test_rare_features_are_left_out() -> None:
    assert find_tracking("", []) == []
    text = "only words here and no more\n" * 10
    rng = np.random.default_rng(0)
    names = {each.feature for each in find_tracking(text, [Track(1, "h", rng.normal(size=(len(text), 2)))])}
    assert names == {"word boundary", "position in the line"}


def test_a_byte_has_the_features_of_the_last_complete_character() -> None:
    found = features_of_bytes("é «\u00c9» 1\n".encode() + b"\xff2")
    assert found["upper case"].tolist() == [mark == "x" for mark in "......xx......"]
    assert found["digit"].tolist() == [mark == "x" for mark in "..........x..x"]
    assert found["inside quotes"].tolist() == [mark == "x" for mark in "....xxxx......"]
    assert found["position in the line"].tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 0, 1, 2]
    assert all(values.size == 0 for values in features_of_bytes(b"").values())
