"""What runs are called."""

from pathlib import Path

from jaxrnn_cli.options.names import name_runs


def test_runs_shown_together_are_called_by_their_folders_or_by_their_paths(tmp_path: Path) -> None:
    a, b, c = tmp_path / "x/run", tmp_path / "y/run", tmp_path / "other"
    assert list(name_runs([a, c, a]).values()) == ["run", "other"]
    assert name_runs([a, b, c]) == {a: str(a), b: str(b), c: "other"}
