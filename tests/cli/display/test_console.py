"""What is printed is what was meant: no markup read, no terminal taken over."""

import io
import sys
import unicodedata

import pytest

from jaxrnn_cli.display import console
from tests.cli.display.conftest import open_terminal

_TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def test_control_characters_are_spelled_out_but_newlines_and_tabs() -> None:
    assert console.escape("a\tb\n\x1b[2J\x07\r\x7f\x9bé[/x]") == "a\tb\n\\x1b[2J\\x07\\r\\x7f\\x9bé[/x]"


def test_so_are_characters_that_turn_or_hide_text_but_not_those_that_languages_need() -> None:
    turned = [chr(code) for code in range(sys.maxunicode) if unicodedata.bidirectional(chr(code)) in _TURNING]
    assert len(turned) == 9
    for character in (*turned, *"\u2028\u2029\u200e\u200f\u061c\ufff9\U000e0041"):
        escaped = console.escape(f"a{character}b")
        assert escaped.isascii() and f"{ord(character):x}" in escaped
    joiners = "\u200c\u200d"  # of Persian, of Indic scripts, of emoji
    assert (
        console.escape(f"שלום می{joiners[0]}خواهم 👩{joiners[1]}🚀")
        == f"שלום می{joiners[0]}خواهم 👩{joiners[1]}🚀"
    )


def test_one_line_is_one_line_of_bounded_length() -> None:
    assert console.one_line("first\n  second\r\nthird\x1b") == "first second third\\x1b"
    assert len(console.one_line("x" * 100_000)) < 2000


def test_text_is_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console.write("a\x1b[31mb\udcd0")  # the last one a byte that is no UTF-8
    assert terminal.getvalue() == "a\\x1b[31mb\\xd0"


def test_text_is_raw_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.write("a\x1b[31mb\x00")
    assert capsys.readouterr().out == "a\x1b[31mb\x00"


def test_surprisal_has_a_color_by_the_nat_and_newlines_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_colors_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool, expected: bool
) -> None:
    open_terminal(monkeypatch)
    if not live:
        monkeypatch.setattr(sys, "stdout", io.StringIO())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.can_paint() is expected
