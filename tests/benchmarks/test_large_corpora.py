"""The corpora of the benchmark; run it with --sizes 1 --seconds 1 to test the rest."""

from pathlib import Path

from benchmarks.large_corpora import _UNKNOWN, write_text


def test_corpora_have_the_requested_size_and_only_one_has_unknown_characters(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "again", "second")]
    for path, seed in zip(paths, (0, 0, 1), strict=True):
        write_text(path, 0.3, seed)
        assert 299_000 <= path.stat().st_size <= 300_000
    first, again, second = (path.read_text(encoding="utf-8") for path in paths)
    assert first == again
    assert set(_UNKNOWN) <= set(second)
    assert not set(_UNKNOWN) & set(first)
