import os
import sys
from pathlib import Path

import pytest

from benchmarks.processes import environment, read_rows, seconds_of, watch

WRITES = """
import sys, time
with open(sys.argv[1], "w") as file:
    for line in ("step,val_loss", "1,3.5", "2,2.5", "3,1.5"):
        print(line, file=file, flush=True)
        time.sleep(0.05)
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


def writer(path: Path, seconds: float, status: int) -> list[str]:
    return [sys.executable, "-c", WRITES, str(path), str(seconds), str(status)]


def test_a_row_counts_once_it_is_complete(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    assert read_rows(metrics) == []
    metrics.write_text("step,val_loss\n1,3.5\n2,2.", encoding="utf-8")
    assert read_rows(metrics) == [{"step": "1", "val_loss": "3.5"}]


def test_a_training_run_is_watched_until_the_target(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    seen, seconds = watch(writer(metrics, 60, 0), dict(os.environ), metrics, lambda row: row["step"] == "3")
    assert [row["val_loss"] for _, row in seen] == ["3.5", "2.5", "1.5"]
    assert 0.1 < seen[-1][0] <= seconds < 60
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)


def test_a_training_run_is_watched_to_its_end(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    seen, _ = watch(writer(metrics, 0, 0), dict(os.environ), metrics, lambda row: row["step"] == "4")
    assert len(seen) == 3


def test_a_failed_training_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        watch(writer(tmp_path / "m.csv", 0, 3), dict(os.environ), tmp_path / "m.csv", lambda _row: False)


def test_a_failed_command_is_an_error() -> None:
    assert seconds_of([sys.executable, "-c", "pass"], dict(os.environ)) > 0
    with pytest.raises(RuntimeError, match="ended with 1: ZeroDivisionError"):
        seconds_of([sys.executable, "-c", "1 / 0"], dict(os.environ))


def test_the_compilation_cache_is_used_only_on_request(tmp_path: Path) -> None:
    assert environment("cpu")["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert environment("cpu", cache=tmp_path)["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path)
    assert environment("gpu")["JAX_PLATFORMS"] == "cuda"
