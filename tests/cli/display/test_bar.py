"""The line of the progress bar."""

import pytest

from jaxrnn_cli.display.bar import bar_line

PARTS = ["loss 1.234", "val 1.542 (2.22 bits/char)", "1,234,567 char/s"]


@pytest.mark.parametrize("width", [30, 40, 55, 70, 80, 120, 300])
@pytest.mark.parametrize("left", ["", "12:05 left", "11:02:03 left"])
def test_the_count_and_the_time_left_are_complete_at_any_width(width: int, left: str) -> None:
    line = bar_line(width, 99_950, 100_000, PARTS, left)
    assert len(line) <= width
    assert line.startswith("99950/100000")
    assert line.rstrip().endswith(left)


def test_parts_are_left_out_from_the_last_on_and_the_bar_first() -> None:
    shown = {width: bar_line(width, 1, 2, PARTS, "0:05 left") for width in (20, 30, 64, 90)}
    assert [sum(part in line for part in PARTS) for line in shown.values()] == [0, 1, 2, 3]
    assert ["━" in line for line in shown.values()] == [False, False, True, True]


@pytest.mark.parametrize(("done", "full"), [(0, 0), (5, 10), (10, 20), (11, 20)])
def test_the_bar_grows_with_the_steps(done: int, full: int) -> None:
    assert bar_line(27, done, 10, [], "").count("━") == full


def test_a_run_of_no_steps_has_a_bar() -> None:
    assert bar_line(20, 0, 0, [], "").startswith("0/0")
