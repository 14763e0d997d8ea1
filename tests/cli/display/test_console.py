"""Printing: no markup is interpreted, control characters are escaped."""

import io
import re
import sys
import unicodedata

import pytest

from jaxrnn_cli.display import console
from tests.cli.display.conftest import open_terminal

_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_control_characters_except_newline_and_tab_are_escaped() -> None:
    assert console.escape("a\tb\n\x1b[2J\x07\r\x7f\x9bé[/x]") == "a\tb\n\\x1b[2J\\x07\\r\\x7f\\x9bé[/x]"


def test_direction_and_invisible_characters_are_escaped_but_not_joiners() -> None:
    turned = [chr(code) for code in range(sys.maxunicode) if unicodedata.bidirectional(chr(code)) in _TURNING]
    assert len(turned) == 9
    for character in (*turned, *"\u2028\u2029\u200e\u200f\u061c\ufff9\U000e0041"):
        escaped = console.escape(f"a{character}b")
        assert escaped.isascii() and f"{ord(character):x}" in escaped
    joiners = "\u200c\u200d"  # for Persian, Indic scripts, emoji
    assert (
        console.escape(f"שלום می{joiners[0]}خواهم 👩{joiners[1]}🚀")
        == f"שלום می{joiners[0]}خواهم 👩{joiners[1]}🚀"
    )


def test_one_line_is_one_line_of_bounded_length() -> None:
    assert console.one_line("first\n  second\r\nthird\x1b") == "first second third\\x1b"
    assert len(console.one_line("x" * 100_000)) < 2000


def test_text_is_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console.write("a\x1b[31mb\udcd0")  # the last one is an invalid UTF-8 byte
    assert terminal.getvalue() == "a\\x1b[31mb\\xd0"


def test_text_is_raw_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.write("a\x1b[31mb\x00")
    assert capsys.readouterr().out == "a\x1b[31mb\x00"


def test_colors_by_surprisal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console.write_by_surprisal("abcde\n\x07", [0.4, 0.5, 1.5, 3.9, 4, 9, 0])
    colors = ("38;5;136", "4;38;5;166", "38;5;231;48;5;131", "1;38;5;231;48;5;196")
    colored = zip("bcde", colors, strict=True)
    expected = "a" + "".join(f"\x1b[{color}m{c}\x1b[0m" for c, color in colored) + "\n\\x07"
    assert terminal.getvalue() == expected


def luminance(color: int) -> float:
    """The relative luminance (WCAG 2) of a color of the 6 x 6 x 6 cube of the 256-color palette."""
    levels = [(0, 95, 135, 175, 215, 255)[(color - 16) // 6**place % 6] / 255 for place in (2, 1, 0)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("paper", [0.0, 1.0], ids=["dark", "light"])
def test_a_higher_surprisal_stands_out_more_on_dark_and_light_terminals(
    monkeypatch: pytest.MonkeyPatch, paper: float
) -> None:
    terminal = open_terminal(monkeypatch)
    console.write_by_surprisal("abcd", [0.5, 1, 2, 4])
    inks, papers = ([*map(int, re.findall(rf"{code};5;(\d+)", terminal.getvalue()))] for code in (38, 48))
    assert len(inks) == 4 and len(papers) == 2  # the two highest have a background
    assert all(contrast(luminance(ink), paper) > 3 for ink in inks[:2])
    assert all(contrast(luminance(background), paper) > 3.9 for background in papers)
    for ink, background in zip(inks[2:], papers, strict=True):
        assert contrast(luminance(ink), luminance(background)) > 3.9


@pytest.mark.parametrize(
    ("variables", "live", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colors_depend_on_terminal_and_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool, expected: bool
) -> None:
    open_terminal(monkeypatch)
    if not live:
        monkeypatch.setattr(sys, "stdout", io.StringIO())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.can_paint() is expected
