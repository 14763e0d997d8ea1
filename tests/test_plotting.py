"""The loss curve of a run."""

import math
from pathlib import Path

import pytest

from jaxrnn.plotting import plot_losses, read_losses
from jaxrnn.run_directory import METRICS_COLUMNS

HEAD = ",".join(METRICS_COLUMNS) + "\n"


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(rows), encoding="utf-8")
    return path


def test_losses_are_read_by_step(tmp_path: Path) -> None:
    metrics = write(
        tmp_path / "metrics.csv",
        "10,100,2.5,2.0,2.885,0.01,1,1000,1,evaluation\n",
        "20,200,1.5,1.0,1.443,0.01,1,1000,2,evaluation\n",
    )
    assert read_losses(metrics) == ([10, 20], [2.5, 1.5], [2.0, 1.0])


def test_an_empty_cell_is_no_loss(tmp_path: Path) -> None:
    curve = read_losses(write(tmp_path / "metrics.csv", "10,100,2.5,,,0.01,1,1000,1,evaluation\n"))
    assert curve.train == [2.5] and math.isnan(curve.held_out[0])


@pytest.mark.parametrize("cut", ["2", "20,200", "20,200,", "x,y,z\n"])
def test_a_row_that_a_killed_process_cut_off_does_no_harm(tmp_path: Path, cut: str) -> None:
    metrics = write(tmp_path / "metrics.csv", "10,100,2.5,2.0,2.885,0.01,1,1000,1,evaluation\n", cut)
    assert read_losses(metrics).steps[0] == 10


@pytest.mark.parametrize("held_out", ["2.0", ""])
def test_a_curve_is_drawn_as_a_png_and_nothing_else_is_left(tmp_path: Path, held_out: str) -> None:
    pytest.importorskip("matplotlib")
    metrics = write(tmp_path / "metrics.csv", f"10,100,2.5,{held_out},2.885,0.01,1,1000,1,evaluation\n")
    plot_losses(metrics, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.png", "metrics.csv"]


def test_before_the_first_evaluation_there_is_nothing_to_draw(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_losses(write(tmp_path / "metrics.csv"), tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()
