"""The benchmark of `jaxrnn play` runs from end to end."""

from pathlib import Path

import pytest

from benchmarks import play
from tests.interchange.stacks import STACKS, drawn, write_run

pytest.importorskip("uvicorn")


def test_it_measures_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(play, "_REQUESTS", 3)
    write_run(drawn(STACKS["gru"]), tmp_path / "run")
    assert play.main([str(tmp_path / "run"), "--seconds", "0.2"]) == 0
    out = capsys.readouterr().out
    heads = [line[:13].strip() for line in out.splitlines()]
    assert heads == ["first byte", "one client", "fifty clients", "first byte"]
    assert "no error" in out
