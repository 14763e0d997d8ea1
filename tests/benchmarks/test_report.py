import json
from pathlib import Path

import pytest

from benchmarks.report import milliseconds, number, spread, table, write_json


def test_numbers_are_right_aligned_and_words_left_aligned() -> None:
    shown = table("seconds", ["", "a", "note"], [["one", "1.0", "x"], ["eleven", "10.25", ""]])
    assert shown == "seconds\n              a  note\n  one       1.0  x\n  eleven  10.25\n"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (83.14, "83.1"), (100.4, "100"), (12345.6, "12,346")]
)
def test_numbers_have_significant_digits_only(value: float, shown: str) -> None:
    assert number(value) == shown


def test_seconds_are_shown_as_milliseconds() -> None:
    assert milliseconds(0.0831) == "83.1"


def test_a_spread_is_the_minimum_and_the_maximum() -> None:
    assert spread([0.09, 0.08, 0.1], 1e3) == "80..100"
    assert spread([]) == "-"


def test_the_json_has_every_measurement(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"cores": 2}, {"rounds": 3}, {"startup": [{"seconds": [1.5]}]})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "machine": {"cores": 2},
        "settings": {"rounds": 3},
        "results": {"startup": [{"seconds": [1.5]}]},
    }
