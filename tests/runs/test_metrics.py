"""metrics.csv as columns."""

from pathlib import Path

import numpy as np
import pytest

from jaxrnn.runs.directory import METRICS_COLUMNS
from jaxrnn.runs.metrics import metrics_columns, read_metrics, seconds_trained

HEAD = ",".join(METRICS_COLUMNS) + "\n"
ROW = "10,100,2.5,2.0,2.885,0.01,1,1000,1,evaluation\n"


def write(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(rows), encoding="utf-8")
    return path


def test_every_column_is_an_array_of_its_type(tmp_path: Path) -> None:
    columns = read_metrics(write(tmp_path / "m.csv", ROW, "20,200,1.5,,,0.01,1,1000,2,rollback\n"))
    assert list(columns) == list(METRICS_COLUMNS)
    assert columns["step"].tolist() == [10, 20] and columns["tokens"].tolist() == [100, 200]
    assert columns["event"].tolist() == ["evaluation", "rollback"]
    np.testing.assert_array_equal(columns["val_loss"], [2.0, np.nan])
    np.testing.assert_array_equal(columns["train_loss"], [2.5, 1.5])


def test_rows_in_memory_have_the_same_columns(tmp_path: Path) -> None:
    row = {
        "step": 10,
        "tokens": 100,
        "train_loss": 2.5,
        "val_loss": None,
        "seconds": 1.0,
        "event": "evaluation",
    }
    columns = metrics_columns([row])
    in_file = read_metrics(write(tmp_path / "m.csv", "10,100,2.5,,,,,,1.0,evaluation\n"))
    for name, column in columns.items():
        np.testing.assert_array_equal(column, in_file[name])
    assert metrics_columns([])["step"].shape == (0,)


@pytest.mark.parametrize("cut", ["2", "20,200", "20,200,", "x,y,z\n"])
def test_a_truncated_row_of_a_killed_process_is_ignored(tmp_path: Path, cut: str) -> None:
    assert read_metrics(write(tmp_path / "m.csv", ROW, cut))["step"][0] == 10


def test_the_training_time_is_that_of_the_last_row(tmp_path: Path) -> None:
    assert (
        seconds_trained(write(tmp_path / "m.csv", ROW, ROW.replace(",1,evaluation", ",2.5,evaluation")))
        == 2.5
    )


@pytest.mark.parametrize(
    "metrics", ["", "step,seconds\n", "step,seconds\n1,\n", "step\n1\n", "step,seconds\n1,x\n"]
)
def test_an_unknown_training_time_is_zero(tmp_path: Path, metrics: str) -> None:
    (tmp_path / "metrics.csv").write_text(metrics)
    assert seconds_trained(tmp_path / "metrics.csv") == 0
    assert seconds_trained(tmp_path / "nowhere.csv") == 0
