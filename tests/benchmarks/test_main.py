import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main

ROOT = Path(__file__).parents[2]


def test_the_help_names_every_benchmark() -> None:
    command = [sys.executable, "-m", "benchmarks", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in BENCHMARKS)


@pytest.mark.parametrize(
    "arguments", [["--only", "nothing"], ["--peers", "ours,theirs"], ["--cases", "x"], ["--rounds", "0"]]
)
def test_an_unknown_benchmark_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_quick_measurement_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measured.json"
    options = [
        "--quick",
        "--only",
        "train_step,time_to_loss",
        "--peers",
        "ours,autodiff",
        "--rounds",
        "2",
    ]
    assert main([*options, "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "train_step lstm-16x1-b4-t8" in shown
    assert "needs --corpus" in shown
    content = json.loads(file.read_text())
    assert content["machine"]["versions"]["jax"]
    ours, autodiff = content["results"]["train_step"]
    assert (ours["peer"], autodiff["peer"]) == ("ours", "autodiff")
    assert len(ours["seconds"]) == 2
    assert ours["median_seconds"] > 0
    assert ours["compile_seconds"] > 0
