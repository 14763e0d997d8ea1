"""Lookup of shipped configs by name."""

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
def test_shipped_configs_are_found_in_any_working_directory(name: str) -> None:
    assert load_config(name) == load_config(find_config(name))


def test_a_shipped_name_takes_precedence_unless_a_path_is_given() -> None:
    Path("shakespeare").write_text("")
    assert find_config("shakespeare") == shipped_configs()["shakespeare"]
    assert find_config("./shakespeare") == Path("shakespeare")


def test_another_bare_name_is_a_file() -> None:
    Path("mine").write_text("")
    assert find_config("mine") == Path("mine")


def test_a_misspelled_name_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="shakspeare: no such config; did you mean shakespeare"):
        find_config("shakspeare")


@pytest.mark.parametrize("name", ["xyzzy", ""])
def test_an_unknown_name_is_refused_with_all_names(name: str) -> None:
    recipes = "original_lstm, original_rnn, rnn, shakespeare, two_minutes"
    with pytest.raises(
        ConfigError, match=f"best_cpu, best_gpu, custom, fast, finetune_hamlet, gru, {recipes}"
    ):
        find_config(name)
