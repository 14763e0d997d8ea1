"""A working directory with a corpus."""

from pathlib import Path

import pytest


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text("to be or not to be, that is the question\n" * 60, encoding="utf-8")
    return "my.txt"
