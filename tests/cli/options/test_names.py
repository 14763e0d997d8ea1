"""Names of runs that are shown together."""

from pathlib import Path

from jaxrnn_cli.options.names import name_runs


def test_runs_are_named_by_folder_or_by_path_if_folders_share_a_name(tmp_path: Path) -> None:
    a, b, c = tmp_path / "x/run", tmp_path / "y/run", tmp_path / "other"
    assert list(name_runs([a, c, a]).values()) == ["run", "other"]
    assert name_runs([a, b, c]) == {a: str(a), b: str(b), c: "other"}
