"""Printing: no markup is interpreted, control characters are escaped."""

import io
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
    pale, orange, dark, darkest = (
        "38;5;16;48;5;230",
        "38;5;16;48;5;222",
        "38;5;16;48;5;208",
        "38;5;231;48;5;130",
    )
    colored = zip("bcde", (pale, orange, dark, darkest), strict=True)
    expected = "a" + "".join(f"\x1b[{color}m{c}\x1b[0m" for c, color in colored) + "\n\\x07"
    assert terminal.getvalue() == expected


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
