"""Formatting of durations and sizes."""

import pytest

from jaxrnn_cli.display.numbers import format_bytes, format_seconds


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_600, "1 MB"),
        (3_400_000, "3.4 MB"),
        (2.5e12, "2,500.0 GB"),
    ],
)
def test_sizes(count: float, shown: str) -> None:
    assert format_bytes(count) == shown
