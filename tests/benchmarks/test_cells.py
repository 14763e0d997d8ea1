"""Cells in the same residual blocks."""

import sys
from pathlib import Path

import pytest

from benchmarks import cells
from benchmarks.cells import CELLS, fitted, parameters


@pytest.mark.parametrize("cell", CELLS)
def test_models_have_the_same_number_of_parameters(cell: str) -> None:
    model = fitted(cell, 300_000, vocabulary_size=65)
    assert 297_000 < parameters(model, 65) <= 300_000


def test_a_run_is_trained_once_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question. " * 100)
    options = ["--corpus", str(tmp_path / "text.txt"), "--cell", "min_gru", "--parameters", "0.005"]
    command = ["cells", str(tmp_path / "runs"), *options, "--steps", "3", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", command)
    assert cells.main() == 0
    trained = capsys.readouterr().out
    monkeypatch.setattr(cells, "pretrain", None)
    assert cells.main() == 0
    assert capsys.readouterr().out == trained
    (line,) = [line.split() for line in trained.splitlines() if line.startswith("  min_gru")]
    assert 0 < float(line[5]) < 10
    assert len(list((tmp_path / "runs").iterdir())) == 2
