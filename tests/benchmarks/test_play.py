"""The benchmark of `jaxrnn play` runs from end to end."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_files

pytest.importorskip("uvicorn")


def test_it_measures_a_server(tmp_path: Path) -> None:
    write_files(tmp_path)
    train = [sys.executable, "-m", "jaxrnn_cli", "pretrain", "tiny.toml", "--quiet"]
    subprocess.run(train, cwd=tmp_path, check=True)
    root = Path(__file__).parents[2]
    script = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from benchmarks.play import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "checkpoints/tiny", "--seconds", "0.5"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    heads = [line[:13].strip() for line in run.stdout.splitlines()]
    assert heads == ["first byte", "one client", "fifty clients", "first byte"]
    assert "no error" in run.stdout
