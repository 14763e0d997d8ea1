"""What is printed is what was meant: no markup read, no terminal taken over."""

import io
import sys

import pytest

from jaxrnn.training.loop import Evaluated, Progress, Sampled
from jaxrnn_cli import console

EVALUATED = Evaluated(
    step=5, tokens=50, train_loss=2.5, val_loss=1.0, learning_rate=1e-3, grad_norm=0.5,
    tokens_per_second=1234.0, seconds=10.0, skipped=0, is_best=True,
)  # fmt: skip
PROGRESS = Progress(
    step=3,
    tokens=30,
    train_loss=2.25,
    learning_rate=1e-3,
    grad_norm=0.5,
    tokens_per_second=999.0,
    seconds=6.0,
    skipped=0,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts a terminal in the place of stdout and stderr; pytest would undo it between a fixture and its test."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_control_characters_are_spelled_out_but_newlines_and_tabs() -> None:
    assert console.escape("a\tb\n\x1b[2J\x07\r\x7f\x9bé[/x]") == "a\tb\n\\x1b[2J\\x07\\x0d\\x7f\\x9bé[/x]"


def test_one_line_is_one_line_of_bounded_length() -> None:
    assert console.one_line("first\n  second\r\nthird\x1b") == "first second third\\x1b"
    assert len(console.one_line("x" * 100_000)) < 2000


def test_text_is_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console.write("a\x1b[31mb")
    assert terminal.getvalue() == "a\\x1b[31mb"


def test_text_is_raw_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.write("a\x1b[31mb\x00")
    assert capsys.readouterr().out == "a\x1b[31mb\x00"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert console.format_seconds(seconds) == shown


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
    assert console.format_bytes(count) == shown


def test_without_a_terminal_training_is_a_line_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    with console.TrainingDisplay(10) as display:
        display.progress(PROGRESS)
        display.evaluated(EVALUATED)
        display.sampled(Sampled(5, "[/x] :smile: \x1b"))
    out, err = capsys.readouterr()
    assert out == ""
    line, *sample = err.splitlines()
    for shown in ("5/10", "2.5000", "1.0000 nats (1.443 bits/char)", "1,234 char/s", "0:10 left"):
        assert shown in line
    assert sample == ["--- sampled at step 5 ---", "[/x] :smile: \x1b", "---"]


def test_without_held_out_text_no_held_out_loss_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with console.TrainingDisplay(10) as display:
        display.evaluated(EVALUATED._replace(val_loss=None))
    assert "val" not in capsys.readouterr().err


def test_quiet_training_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with console.TrainingDisplay(10, quiet=True) as display:
        display.progress(PROGRESS)
        display.evaluated(EVALUATED)
        display.sampled(Sampled(5, "text"))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_the_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with console.TrainingDisplay(10) as display:
        display.progress(PROGRESS)
        display.evaluated(EVALUATED)
        display.sampled(Sampled(5, "[/x] [bold]no[/bold] :smile: \x1b]0;title\x07"))
    shown = terminal.getvalue()
    assert "5/10" in shown and "bits/char" in shown
    assert "[/x] [bold]no[/bold] :smile: \\x1b]0;title\\x07" in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with console.TrainingDisplay(10) as display:
        display.progress(PROGRESS)
        display.evaluated(EVALUATED)
        display.sampled(Sampled(5, "a\x1bb"))
    assert "a\\x1bb" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_a_download_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with console.download_display(quiet=False) as report:
        assert report is not None
        report("plays [/x]", 0, 0)
        report("plays [/x]", 500, 1000)
        report("plays [/x]", 1000, 1000)
    assert "plays [/x]" in terminal.getvalue()


def test_a_download_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with console.download_display(quiet=False) as report:
        assert report is not None
        report("plays", 0, 0)
        report("plays", 1000, 1000)
    assert capsys.readouterr() == ("", "jaxrnn: fetching plays\n")


def test_a_quiet_download_is_not_reported() -> None:
    with console.download_display(quiet=True) as report:
        assert report is None


def test_surprise_has_a_colour_by_the_nat_and_newlines_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    console.write_by_surprise("abcde\n\x07", [0.4, 0.5, 1.5, 3.9, 4, 9, 0])
    pale, orange, dark, darkest = (
        "38;5;16;48;5;230",
        "38;5;16;48;5;222",
        "38;5;16;48;5;208",
        "38;5;231;48;5;130",
    )
    coloured = zip("bcde", (pale, orange, dark, darkest), strict=True)
    expected = "a" + "".join(f"\x1b[{colour}m{c}\x1b[0m" for c, colour in coloured) + "\n\\x07"
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
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool, expected: bool
) -> None:
    open_terminal(monkeypatch)
    if not live:
        monkeypatch.setattr(sys, "stdout", io.StringIO())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert console.can_paint() is expected
