"""Config files: round trips, and the shipped configs."""

import dataclasses
import random
import re
from pathlib import Path

import pytest

from jaxrnn.config import (
    LAYER_TYPES,
    Config,
    CorpusConfig,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
    RNNConfig,
    SampleConfig,
    TrainConfig,
    dump_config,
    load_config,
    parse_config,
)
from jaxrnn.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


def random_config(generator):
    size = generator.randint(1, 65_536)
    middle = [
        RNNConfig(size=generator.randint(1, 99)),
        GRUConfig(size=generator.randint(1, 99)),
        DropoutConfig(rate=generator.random(), variational=generator.random() < 0.5),
        DenseConfig(size=7),
        LSTMConfig(size=size),
        RNNBlockConfig(cell=generator.choice(["rnn", "lstm", "gru"]), size=generator.choice([None, size])),
    ]
    # Any character except surrogates.
    codes = [
        generator.choice([generator.randrange(0x300), generator.randrange(0xE000, 0x110000)])
        for _ in range(40)
    ]
    text = "".join(map(chr, codes))
    steps = generator.randint(1, 2**31 - 1)
    return Config(
        corpus=CorpusConfig(
            text=text.replace("\0", "") + '"\\',
            validation_fraction=generator.random(),
            separator=generator.choice(["", *text]),
        ),
        model=ModelConfig(layers=(EmbeddingConfig(size=size), *middle, DenseConfig())),
        train=TrainConfig(
            steps=steps,
            warmup_steps=generator.randint(0, 2**31 - 1),
            stateful=generator.random() < 0.5,
            learning_rate=10 ** generator.uniform(-20, 2),
            schedule=generator.choice(["linear", "cosine", "constant", "plateau"]),
            max_grad_norm=generator.choice([0, 1, 1e-7]),
            ema_decay=generator.choice([0, 0.998]),
        ),
        sample=SampleConfig(
            prompt=text, stop=text[::-1], temperature=generator.random(), top_p=1 - generator.random()
        ),
    )


def test_any_config_survives_a_round_trip(tmp_path):
    generator = random.Random(0)
    path = tmp_path / "config.toml"
    for config in [Config(), *(random_config(generator) for _ in range(50))]:
        path.write_text(dump_config(config), encoding="utf-8")
        assert load_config(path) == config


def test_a_dumped_config_has_every_value():
    written = dump_config(Config())
    for section in dataclasses.fields(Config):
        assert f"[{section.name}]\n" in written
        for field in dataclasses.fields(getattr(Config(), section.name)):
            assert f"\n{field.name} = " in written


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "a\nb.toml"
    path.write_text("[train]\nsteps = 0")
    with pytest.raises(ConfigError, match=r"a\\u000ab\.toml: train\.steps = 0: must be"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"^--set train\.steps=-1: must be"):
        load_config(path, ["train.steps=-1"])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_every_shipped_config_loads(path):
    assert isinstance(load_config(path), Config)


def test_there_is_a_shipped_config_for_each_cell():
    for name, cell in [("shakespeare", "lstm"), ("rnn", "rnn"), ("gru", "gru")]:
        config = load_config(CONFIGS / f"{name}.toml")
        assert [layer.type for layer in config.model.layers] == ["embedding", cell, "dense"]
        assert config.corpus.text == "shakespeare"


def test_custom_toml_equals_the_defaults():
    assert load_config(CONFIGS / "custom.toml") == Config()


def test_custom_toml_documents_every_key_and_layer():
    text = (CONFIGS / "custom.toml").read_text(encoding="utf-8")
    for section in dataclasses.fields(Config):
        part = text.partition(f"\n[{section.name}]\n")[2].partition("\n[")[0]
        for field in dataclasses.fields(getattr(Config(), section.name)):
            assert re.search(rf"^#.*\n{field.name} = ", part, re.MULTILINE), f"[{section.name}] {field.name}"
    for name, layer in LAYER_TYPES.items():
        shown = re.search(rf'^#   {{ type = "{name}".*\n(?:#    .*\n)*', text, re.MULTILINE)
        assert shown, name
        for field in dataclasses.fields(layer):
            assert field.name in shown.group(), f"{name} {field.name}"


def test_the_layers_shown_in_custom_toml_are_accepted():
    text = (CONFIGS / "custom.toml").read_text(encoding="utf-8")
    shown = ", ".join(re.findall(r"^#   ({ type .*?})(?= |$)", text, re.MULTILINE))
    layers = parse_config(f"[model]\nlayers = [{shown}]", "custom.toml").model.layers
    assert {layer.type for layer in layers} == set(LAYER_TYPES)


def test_the_ranges_in_custom_toml_are_enforced():
    text = (CONFIGS / "custom.toml").read_text(encoding="utf-8")
    for section in ("corpus", "train", "sample"):
        part = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        for comment, key in re.findall(r"((?:^#.*\n)+)^(\w+) = ", part, re.MULTILINE):
            interval = re.search(r"In ([\[(])([\d.]+), ([\d.]+)([\])])", comment)
            if interval is None:
                continue
            opening, low, high, closing = interval.groups()
            for end, included in ((low, opening == "["), (high, closing == "]")):
                try:
                    parse_config("", "x", [f"{section}.{key}={end}"])
                except ConfigError:
                    assert not included, f"{key} = {end}"
                else:
                    assert included, f"{key} = {end}"
