"""Plots of runs."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from jaxrnn.runs import plotting
from jaxrnn.runs.directory import METRICS_COLUMNS
from jaxrnn.runs.metrics import read_metrics
from jaxrnn.runs.plotting import AXES, plot_losses, plot_runs

HEAD = ",".join(METRICS_COLUMNS) + "\n"


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("held_out", ["2.0", ""])
def test_a_plot_is_written_as_a_png_without_other_files(tmp_path: Path, held_out: str) -> None:
    pytest.importorskip("matplotlib")
    metrics = write(tmp_path / "metrics.csv", f"10,100,2.5,{held_out},2.885,0.01,1,1000,1,evaluation\n")
    plot_losses(metrics, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.png", "metrics.csv"]


def test_no_plot_before_the_first_evaluation(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_losses(write(tmp_path / "metrics.csv"), tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG\r\n"), ("a.SVG", b"<?xml")])
def test_several_runs_in_one_figure(tmp_path: Path, over: str, name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    row = "{step},{step}00,2.5,{loss},2.885,0.01,1,1000,{step},evaluation\n"
    rows = [row.format(step=step, loss=loss) for step, loss in ((10, 2.0), (20, ""), (30, 1.0))]
    curve = read_metrics(write(tmp_path / "metrics.csv", *rows))
    plot_runs([("one", curve), ("a $b$ _c", curve), ("_d", curve)], tmp_path / name, over)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "metrics.csv"])


def test_a_figure_has_every_curve_in_its_units(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [f"{step},{step}00,2.5,1.5,2,0.01,1,1000,{step},evaluation\n" for step in (10, 20)]
    curve = read_metrics(write(tmp_path / "metrics.csv", *rows))
    plot_runs([("one", curve)], tmp_path / "a.svg", "tokens")
    svg = (tmp_path / "a.svg").read_text()
    for label in ("one, training", "one, validation", "characters read", "learning rate", "gradient norm"):
        assert f"<!-- {label} -->" in svg


def test_runs_differ_by_marker_and_the_training_loss_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    rows = [f"{step},{step}00,2.5,1.5,2,0.01,1,1000,{step},evaluation\n" for step in range(1, 101)]
    metrics = write(tmp_path / "metrics.csv", *rows)
    figures: list[Any] = []
    monkeypatch.setattr(plotting, "_save", lambda figure, *_: figures.append(figure))
    plot_runs([("one", read_metrics(metrics)), ("two", read_metrics(metrics))], tmp_path / "a.png")
    plot_losses(metrics, tmp_path / "b.png")
    for axes in figures[0].axes[:3]:
        markers = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert len(markers) == len({marker for _, marker in markers}) == 2
        assert {line.get_markevery() for line in axes.lines} == {0.1}  # 10 markers, not 100
    for figure in figures:
        assert "mean since the point before" in figure.axes[0].get_legend().get_title().get_text()


@pytest.mark.parametrize("name", ["a$b$c", "$\\frac", "_hidden", "日本語 \U0001f600"])
def test_a_name_is_drawn_literally_without_warnings(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / name).mkdir()
    row = "10,100,2.5,2.0,2.885,0.01,1,1000,1,evaluation\n"
    metrics = write(tmp_path / name / "metrics.csv", row, row.replace("10,", "20,", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_losses(metrics, tmp_path / "loss.png")
        plot_runs([(name, read_metrics(metrics))] * 2, tmp_path / "runs.svg")
    assert capfd.readouterr() == ("", "")
    drawn = (tmp_path / "runs.svg").read_text(encoding="utf-8")
    assert f"{name}, training" in drawn
