"""The config of a fine-tuning run: layers of the source run, defaults, file and overrides."""

from dataclasses import replace
from pathlib import Path

import pytest

from jaxrnn.config import (
    Config,
    CorpusConfig,
    DenseConfig,
    EmbeddingConfig,
    ModelConfig,
    RNNBlockConfig,
    SampleConfig,
    TrainConfig,
    load_finetune_config,
)
from jaxrnn.config.schema import FINETUNE
from jaxrnn.errors import ConfigError

BASE = replace(
    Config(), sample=SampleConfig(prompt="ROMEO:", length=7), train=TrainConfig(steps=9000, batch_size=8)
)


def test_without_a_file_layers_and_sampling_come_from_the_run() -> None:
    config = load_finetune_config(None, BASE, ["corpus.text=a.txt"])
    assert config.corpus.text == "a.txt"
    assert (config.model, config.sample) == (BASE.model, BASE.sample)
    assert config.train == replace(TrainConfig(), **FINETUNE)  # type: ignore[arg-type]
    assert config.train.learning_rate < TrainConfig().learning_rate
    assert config.train.steps < TrainConfig().steps


def test_overrides_take_precedence_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ft.toml"
    path.write_text('[corpus]\ntext = "b.txt"\n[train]\nsteps = 7\nseq_len = 9\n[sample]\nlength = 3\n')
    config = load_finetune_config(path, BASE, ["train.steps=8"])
    assert (config.corpus.text, config.train.steps, config.train.seq_len) == ("b.txt", 8, 9)
    assert config.train.learning_rate == FINETUNE["learning_rate"]
    assert (config.sample.length, config.sample.prompt) == (3, "ROMEO:")


def test_the_separator_comes_from_the_run_unless_given(tmp_path: Path) -> None:
    base = replace(BASE, corpus=CorpusConfig(separator="\n"))
    assert load_finetune_config(None, base, ["corpus.text=a.txt"]).corpus.separator == "\n"
    path = tmp_path / "ft.toml"
    path.write_text('[corpus]\ntext = "b.txt"\nseparator = ""\n')
    assert load_finetune_config(path, base).corpus.separator == ""
    assert load_finetune_config(path, base, ["corpus.separator=;"]).corpus.separator == ";"


def test_layers_may_be_repeated_but_not_changed() -> None:
    text = ["corpus.text=a.txt"]
    assert load_finetune_config(None, BASE, [*text, "model.layers.1.size=192"]).model == BASE.model
    with pytest.raises(ConfigError, match=r"model\.layers\[1\].*leave \[model\] out"):
        load_finetune_config(None, BASE, [*text, "model.layers.1.size=64"])


GRU = '[{type = "embedding", size = 192}, {type = "gru", size = 192}, {type = "dense"}]'
LONGER = '[{type = "embedding", size = 192}, {type = "lstm", size = 192}, {type = "dense", size = 9}, {type = "dense"}]'


@pytest.mark.parametrize(
    ("section", "overrides", "blamed"),
    [
        ("", ["model.layers.1.size=64"], "--set model.layers.1.size=64: "),
        ("", [f"model.layers={GRU}"], "--set model.layers="),
        (f"[model]\nlayers = {GRU}", [], "a\\u000ab.toml: model.layers[1].type: "),
        (f"[model]\nlayers = {LONGER}", [], "a\\u000ab.toml: model.layers[2].size: "),
    ],
)
def test_an_error_in_layers_names_the_file_or_override(
    tmp_path: Path, section: str, overrides: list[str], blamed: str
) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text(f'{section}\n[corpus]\ntext = "b.txt"\n')
    with pytest.raises(ConfigError) as error:
        load_finetune_config(path, BASE, overrides)
    message = str(error.value).removeprefix(f"{tmp_path}/")
    assert message.startswith(blamed)
    assert message.isprintable()
    expected = '{ type = "dense" }' if section and LONGER in section else '{ type = "lstm", size = 192 }'
    assert expected in message


def test_an_override_applies_to_the_layers_of_the_run() -> None:
    layers = (EmbeddingConfig(size=8), RNNBlockConfig(), RNNBlockConfig(cell="gru"), DenseConfig())
    base = Config(model=ModelConfig(layers=layers))
    text = ["corpus.text=a.txt"]
    # The size of a block is that of its input, so giving it changes nothing.
    kept = load_finetune_config(None, base, [*text, "model.layers.1.size=8"]).model
    assert [layer.type for layer in kept.layers] == [layer.type for layer in layers]
    with pytest.raises(ConfigError, match=r"model\.layers\[2\] of the run is .*gru"):
        load_finetune_config(None, base, [*text, "model.layers.2.cell=rnn"])


def test_a_corpus_is_required() -> None:
    with pytest.raises(ConfigError, match="--corpus"):
        load_finetune_config(None, BASE)


def test_errors_are_reported_as_in_every_config(tmp_path: Path) -> None:
    path = tmp_path / "ft.toml"
    path.write_text('model = 3\n[corpus]\ntext = "b.txt"\n')
    with pytest.raises(ConfigError, match=r"ft\.toml: model = 3: must be a section"):
        load_finetune_config(path, BASE)
    path.write_text("corpus = 3\n")
    with pytest.raises(ConfigError, match=r"ft\.toml: corpus = 3: must be a section"):
        load_finetune_config(path, BASE)
    with pytest.raises(ConfigError, match="did you mean"):
        load_finetune_config(None, BASE, ["train.step=3"])


@pytest.mark.parametrize(("there", "here"), [("bytes", "characters"), ("characters", "bytes")])
def test_tokens_other_than_those_of_the_run_are_refused(tmp_path: Path, there: str, here: str) -> None:
    base = replace(BASE, corpus=CorpusConfig(tokens=there))
    assert load_finetune_config(None, base, ["corpus.text=a"]).corpus == CorpusConfig(text="a", tokens=there)
    path = tmp_path / "ft.toml"
    path.write_text(f'[corpus]\ntext = "a"\ntokens = "{here}"\n')
    words = rf"corpus\.tokens = \"{here}\": the run's tokens are {there}, .* for {here}; leave this key out"
    with pytest.raises(ConfigError, match=f"ft.toml: {words}"):
        load_finetune_config(path, base)
