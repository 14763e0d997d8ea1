"""A working directory of its own, and files that are old enough for their hashes to be remembered."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Put = Callable[[str, str | bytes], Path]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXRNN_TOKENS", raising=False)


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file that was last changed a minute ago."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = path.stat().st_mtime - 60
        os.utime(path, (before, before))
        return path

    return write
