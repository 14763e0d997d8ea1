"""`jaxrnn plot`: the figure, and errors."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.usefixtures("place")


def test_several_runs_in_one_figure(jaxrnn: Command, trained: Path, place: Path) -> None:
    shutil.copytree(trained, place / "checkpoints/other")
    code, out, err = jaxrnn("plot", trained, "other", "--over", "seconds", "--output", "both.svg")
    assert (code, out, err) == (0, "", "jaxrnn: wrote both.svg\n")
    svg = (place / "both.svg").read_text()
    assert "<!-- tiny, validation -->" in svg and "<!-- other, validation -->" in svg


def test_a_run_named_twice_is_drawn_once(jaxrnn: Command, trained: Path, place: Path) -> None:
    assert jaxrnn("plot", trained, trained, "--output", "one.svg").code == 0
    assert (place / "one.svg").read_text().count("<!-- tiny, validation -->") == 1


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "missing argument"),
        (("nope",), "no such run"),
        (("{run}", "--over", "hours"), "not one of steps, tokens, seconds"),
        (("{run}", "--output", "a.pdf"), "neither .png nor .svg"),
        (("{run}", "--output", "gone/a.png"), "gone: no such folder"),
    ],
)
def test_an_error_is_one_line(jaxrnn: Command, trained: Path, place: Path, args: tuple, why: str) -> None:
    assert why in jaxrnn("plot", *(str(arg).replace("{run}", str(trained)) for arg in args)).error.lower()
    assert not (place / "curves.png").exists()


def test_a_run_without_an_evaluation_is_refused(jaxrnn: Command, trained: Path, place: Path) -> None:
    shutil.copytree(trained, place / "checkpoints/new")
    metrics = place / "checkpoints/new/metrics.csv"
    metrics.write_text(metrics.read_text().splitlines()[0] + "\n")
    assert "no evaluation yet" in jaxrnn("plot", "new").error
    metrics.unlink()
    assert "can't be read" in jaxrnn("plot", "new").error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(28, "No space left on device"), "curves.png: can't be written: No space"),
        (ImportError(), "pip"),
    ],
)
def test_a_figure_that_can_not_be_written_is_one_line(
    jaxrnn: Command, trained: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("jaxrnn.runs.plot_runs", fail)
    code, out, err = jaxrnn("plot", trained)
    assert (code, out) == (1, "")
    assert why in err and len(err.splitlines()) == 1
