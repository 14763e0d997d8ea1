"""Other corpora: Python modules by name up to a limit, and verses, one per line."""

import io
import zipfile
from pathlib import Path

import pytest

from benchmarks import texts
from jaxrnn.errors import DownloadError


def test_modules_are_sorted_by_name_up_to_the_limit(tmp_path: Path) -> None:
    for name, source in {"b.py": "bb\n", "a.py": "a\n", "c.py": "ccc\n", "d.txt": "no\n"}.items():
        (tmp_path / name).write_text(source)
    assert texts.python_source(tmp_path) == "a\nbb\nccc\n"
    assert texts.python_source(tmp_path, limit=8) == "a\nbb\n"


def test_verses_are_lines() -> None:
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(texts._VERSES, '<quran><sura><aya text="one"/><aya text="ٱ"/></sura></quran>')
    assert texts.verses(wheel.getvalue()) == "one\nٱ\n"


def test_a_missing_package_is_one_line(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def offline(*_: object) -> bytes:
        raise DownloadError("no network")

    monkeypatch.setattr(texts, "fetch_wheel", offline)
    assert texts.main([str(tmp_path / "made")]) == 2
    assert capsys.readouterr().err == "no network\n"
    assert (tmp_path / "made" / "python.txt").stat().st_size > 100_000
