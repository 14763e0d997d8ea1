"""The configs that come with jaxrnn, by name."""

from pathlib import Path

import pytest

from jaxrnn.config import load_config
from jaxrnn.config.shipped import find_config, shipped_configs
from jaxrnn.errors import ConfigError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["shakespeare", "rnn", "gru", "custom", "fast", "two_minutes", "best_cpu", "best_gpu", "original_rnn"],
)
def test_the_shipped_configs_are_found_anywhere_and_load(name: str) -> None:
    assert load_config(name) == load_config(find_config(name))


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
