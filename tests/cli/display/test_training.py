"""Display of a training run on a terminal, in a pipe, and with `quiet`."""

import pytest

from jaxrnn.training import Evaluated, Progress, Sampled
from jaxrnn.workflows import Note
from jaxrnn_cli.display import console
from jaxrnn_cli.display.training import TrainingDisplay
from tests.cli.display.conftest import open_terminal

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


def test_a_pipe_gets_one_line_per_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(10) as display:
        display.show(PROGRESS)
        display.show(PROGRESS._replace(step=5, seconds=10.0))
        display.show(EVALUATED)
        display.show(Sampled(5, "[/x] :smile: \x1b"))
    out, err = capsys.readouterr()
    assert out == ""
    line, *sample = err.splitlines()
    for shown in ("5/10", "2.5000", "1.0000 nats (1.443 bits/char)", "1,234 char/s", "0:10 left"):
        assert shown in line
    assert sample == ["--- sampled at step 5 ---", "[/x] :smile: \x1b", "---"]


def test_the_time_left_excludes_compilation(capsys: pytest.CaptureFixture[str]) -> None:
    def lines_of(*events: Progress | Evaluated) -> list[str]:
        with TrainingDisplay(10) as display:
            for event in events:
                display.show(event)
        return capsys.readouterr().err.splitlines()

    first = PROGRESS._replace(step=1, seconds=30.0)  # compiled
    fifth = PROGRESS._replace(step=5, seconds=34.0)  # 1 s each
    evaluated = EVALUATED._replace(seconds=60.0)  # compiled too
    eighth = PROGRESS._replace(step=8, seconds=65.0)
    again = EVALUATED._replace(step=8, seconds=66.0)  # 2 s each, including the evaluation
    lines = lines_of(first, fifth, evaluated, eighth, again)
    assert [line.split("  ")[-1] for line in lines] == ["0:05 left", "0:04 left"]
    at_once, then = lines_of(
        first, EVALUATED._replace(step=1, seconds=60.0), fifth._replace(seconds=64.0), again
    )
    assert "left" not in at_once and "left" in then
    back = PROGRESS._replace(step=4, seconds=70.0)  # rolled back
    rolled_back = lines_of(first, evaluated, back, again._replace(seconds=74.0))
    assert rolled_back[-1].endswith("0:02 left")


def test_no_validation_loss_without_a_validation_split(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(10) as display:
        display.show(EVALUATED._replace(val_loss=None))
    assert "val" not in capsys.readouterr().err


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(10, quiet=True) as display:
        display.show(PROGRESS)
        display.show(EVALUATED)
        display.show(Sampled(5, "text"))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_the_unmodified_text(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with TrainingDisplay(10) as display:
        display.show(PROGRESS)
        display.show(EVALUATED)
        display.show(Sampled(5, "[/x] [bold]no[/bold] :smile: \x1b]0;title\x07"))
    shown = terminal.getvalue()
    assert "3/10" in shown and "loss 2.250" in shown and "bits/char" in shown
    assert "[/x] [bold]no[/bold] :smile: \\x1b]0;title\\x07" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is shown again


def test_the_bar_shows_the_time_left_without_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch, columns=40)
    with TrainingDisplay(10) as display:
        display.show(PROGRESS._replace(step=1, seconds=30.0))  # compiled
        display.show(PROGRESS._replace(step=5, seconds=34.0))
        display.show(Note("bar drawn"))
    *_, drawn = [line for line in terminal.getvalue().split("\n") if "5/10" in line]
    assert "5/10" in drawn and "0:05 left" in drawn


@pytest.mark.parametrize("signals", [0, 1, 2])
@pytest.mark.parametrize("columns", [60, 80])
def test_no_bar_is_left_on_the_screen(monkeypatch: pytest.MonkeyPatch, signals: int, columns: int) -> None:
    terminal = open_terminal(monkeypatch, columns)
    monkeypatch.setattr(console, "_write_at_once", terminal.write)
    with TrainingDisplay(10) as display:
        display.show(PROGRESS)
        display.show(Note("one"))
        for _ in range(signals):
            assert display._bar is not None
            display._bar.refresh()
            terminal.write("^C")  # echoed by the terminal
            console.announce_stop()
            display.show(PROGRESS._replace(step=4))
            display.show(Note("saving"))
    stop = "jaxrnn: stopping and saving; Ctrl-C again stops at once"
    expected = ["jaxrnn: one", *[stop, "jaxrnn: saving"] * signals]
    assert [line for line in terminal.screen() if line] == expected


def test_samples_are_printed_at_most_every_30_s_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(10) as display:
        for step, seconds in ((1, 1.0), (2, 20.0), (3, 31.0), (4, 40.0), (10, 41.0)):
            display.show(PROGRESS._replace(step=step, seconds=seconds))
            display.show(Sampled(step, "text"))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("--- sampled")]
    assert lines == [f"--- sampled at step {step} ---" for step in (1, 3, 10)]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with TrainingDisplay(10) as display:
        display.show(PROGRESS)
        display.show(EVALUATED)
        display.show(Sampled(5, "a\x1bb"))
    assert "a\\x1bb" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_a_note_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay(10) as display:
        display.show(Note("writing to\x1b a run"))
    assert capsys.readouterr().err == "jaxrnn: writing to\\x1b a run\n"
