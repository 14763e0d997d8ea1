"""Progress of long tasks: a bar on a terminal, a line in a pipe."""

import pytest

from jaxrnn_cli.display.progress import progress_display
from tests.cli.display.conftest import open_terminal


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress_display(quiet=False) as on_progress:
        for done, total in ((0, 0), (500, 1000), (1000, 1000)):
            on_progress("plays [/x]", done, total)
    assert "plays [/x]" in terminal.getvalue()


def test_a_pipe_gets_one_line_per_task(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(quiet=False) as on_progress:
        on_progress("fetching plays", 0, 0)
        on_progress("fetching plays", 1000, 1000)
    assert capsys.readouterr() == ("", "jaxrnn: fetching plays\n")


def test_a_short_task_prints_no_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 0.5, 0.5, 2.0, 2.0, 3.0, 3.0])
    monkeypatch.setattr("jaxrnn_cli.display.progress.time.monotonic", lambda: next(clock))
    with progress_display(quiet=False) as on_progress:
        on_progress("tokenizing x", 1, 9)
        on_progress("tokenizing x", 2, 9)
        assert capsys.readouterr() == ("", "")
        on_progress("tokenizing x", 3, 9)
        on_progress("tokenizing x", 4, 9)
    assert capsys.readouterr() == ("", "jaxrnn: tokenizing x\n")


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(quiet=True) as on_progress:
        on_progress("fetching plays", 0, 0)
    assert capsys.readouterr() == ("", "")
