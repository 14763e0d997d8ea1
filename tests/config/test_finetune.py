"""The config of a fine-tuning: the run's layers, gentle values, and what the file and the overrides say."""

from dataclasses import replace
from pathlib import Path

import pytest

from jaxrnn.config import Config, SampleConfig, TrainConfig, load_finetune_config
from jaxrnn.config.schema import FINETUNE
from jaxrnn.errors import ConfigError

BASE = replace(
    Config(), sample=SampleConfig(seed="ROMEO:", length=7), train=TrainConfig(steps=9000, batch_size=8)
)


def test_without_a_file_it_is_the_runs_layers_and_samples_and_gentle_values() -> None:
    config = load_finetune_config(None, BASE, ["corpus.text=a.txt"])
    assert config.corpus.text == "a.txt"
    assert (config.model, config.sample) == (BASE.model, BASE.sample)
    assert config.train == replace(TrainConfig(), **FINETUNE)  # type: ignore[arg-type]
    assert config.train.learning_rate < TrainConfig().learning_rate
    assert config.train.steps < TrainConfig().steps


def test_a_file_says_more_and_an_override_the_most(tmp_path: Path) -> None:
    path = tmp_path / "ft.toml"
    path.write_text('[corpus]\ntext = "b.txt"\n[train]\nsteps = 7\nseq_len = 9\n[sample]\nlength = 3\n')
    config = load_finetune_config(path, BASE, ["train.steps=8"])
    assert (config.corpus.text, config.train.steps, config.train.seq_len) == ("b.txt", 8, 9)
    assert config.train.learning_rate == FINETUNE["learning_rate"]
    assert (config.sample.length, config.sample.seed) == (3, "ROMEO:")


def test_layers_may_be_repeated_but_not_changed() -> None:
    text = ["corpus.text=a.txt"]
    assert load_finetune_config(None, BASE, [*text, "model.layers.1.size=192"]).model == BASE.model
    with pytest.raises(ConfigError, match=r"model\.layers\[1\].*leave \[model\] out"):
        load_finetune_config(None, BASE, [*text, "model.layers.1.size=64"])


def test_a_text_must_be_named() -> None:
    with pytest.raises(ConfigError, match="--corpus"):
        load_finetune_config(None, BASE)


def test_mistakes_are_told_as_in_every_config(tmp_path: Path) -> None:
    path = tmp_path / "ft.toml"
    path.write_text('model = 3\n[corpus]\ntext = "b.txt"\n')
    with pytest.raises(ConfigError, match=r"ft\.toml: model = 3: must be a section"):
        load_finetune_config(path, BASE)
    with pytest.raises(ConfigError, match="did you mean"):
        load_finetune_config(None, BASE, ["train.step=3"])
