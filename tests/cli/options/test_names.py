"""What bare names on the command line mean."""

from pathlib import Path

import pytest

from jaxrnn.config import load_config
from jaxrnn.errors import CheckpointError, ConfigError
from jaxrnn_cli.names import find_config, find_destination, name_runs, shipped_configs

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize(
    "name",
    ["shakespeare", "rnn", "gru", "custom", "fast", "two_minutes", "best_cpu", "best_gpu", "original_rnn"],
)
def test_the_shipped_configs_are_found_anywhere_and_load(name: str) -> None:
    load_config(find_config(name))


def test_a_shipped_name_wins_over_a_file_and_a_path_forces_the_file() -> None:
    Path("shakespeare").write_text("")
    assert find_config("shakespeare") == shipped_configs()["shakespeare"]
    assert find_config("./shakespeare") == Path("shakespeare")


def test_another_bare_name_is_a_file() -> None:
    Path("mine").write_text("")
    assert find_config("mine") == Path("mine")


def test_a_near_miss_is_answered_with_the_name_that_was_meant() -> None:
    with pytest.raises(ConfigError, match="shakspeare: no such config; did you mean shakespeare"):
        find_config("shakspeare")


@pytest.mark.parametrize("name", ["xyzzy", ""])
def test_a_far_miss_is_answered_with_all_names(name: str) -> None:
    recipes = "original_lstm, original_rnn, rnn, shakespeare, two_minutes"
    with pytest.raises(
        ConfigError, match=f"best_cpu, best_gpu, custom, fast, finetune_hamlet, gru, {recipes}"
    ):
        find_config(name)


@pytest.mark.parametrize(
    ("to", "path"),
    [
        (None, "checkpoints/tiny"),
        ("other", "checkpoints/other"),
        ("./other", "other"),
        ("a/b", "a/b"),
        ("/a/b", "/a/b"),
        ("..", ".."),
    ],
)
def test_a_bare_destination_is_in_checkpoints_and_a_path_is_a_path(to: str | None, path: str) -> None:
    assert find_destination(to, "configs/tiny.toml") == Path(path)


def test_an_empty_destination_is_refused() -> None:
    with pytest.raises(CheckpointError, match="--to"):
        find_destination("", "tiny.toml")


def test_runs_shown_together_are_called_by_their_folders_or_by_their_paths(tmp_path: Path) -> None:
    a, b, c = tmp_path / "x/run", tmp_path / "y/run", tmp_path / "other"
    assert list(name_runs([a, c, a]).values()) == ["run", "other"]
    assert name_runs([a, b, c]) == {a: str(a), b: str(b), c: "other"}
