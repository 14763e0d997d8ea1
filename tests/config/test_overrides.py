"""Overrides of config values by KEY=VALUE."""

import pytest

from jaxrnn.config import Config, GRUConfig, LSTMConfig, parse_config
from jaxrnn.errors import ConfigError

NUMBER = "must be a number above 0, up to 100"
INTEGER = "must be an integer from 1 to 2147483647"
TYPES = (
    "must be one of embedding, dense, dropout, rnn, lstm, mogrifier_lstm, gru, slstm, mlstm, min_gru, min_lstm, "
    "rg_lru, rnn_block, rms_norm, gated_mlp, causal_conv, residual"
)


def read(*overrides, text=""):
    return parse_config(text, "my.toml", overrides)


def refused(*overrides, text=""):
    with pytest.raises(ConfigError) as caught:
        read(*overrides, text=text)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_an_override_replaces_the_default_and_the_file():
    assert read("train.steps=30").train.steps == 30
    assert read("train.steps=30", text="[train]\nsteps = 40").train.steps == 30
    assert read("train.steps=30", "train.steps=50").train.steps == 50
    assert read("train.steps=1600") == Config()


@pytest.mark.parametrize(
    "key", ["train.batch_size", "train.batch-size", "Train.Batch-Size", " train.batch_size "]
)
def test_hyphens_capitals_and_spaces_in_a_key_are_normalized(key):
    assert read(f"{key}=8").train.batch_size == 8


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.steps=1_000", 1000),
        ("train.learning_rate=3e-3", 3e-3),
        ("train.learning_rate=.5", 0.5),
        ("train.learning_rate=1", 1.0),
        ("train.stateful=false", False),
        ("train.stateful=True", True),
        ("train.schedule=cosine", "cosine"),
        ('train.schedule="cosine"', "cosine"),
        ("sample.prompt=ROMEO: ", "ROMEO: "),
        ("sample.prompt=a=b", "a=b"),
        ("sample.prompt=5", "5"),
        ("sample.prompt=true", "true"),
        (r"sample.prompt=a\n", r"a\n"),
        (r'sample.prompt="a\n"', "a\n"),
        (r"sample.prompt='a\n'", r"a\n"),
        ('sample.prompt="O" he cried', '"O" he cried'),
        ('sample.prompt="', '"'),
        ("sample.prompt='tis", "'tis"),
        ("sample.stop=", ""),
        ("sample.stop=\n", "\n"),
    ],
)
def test_a_value_has_the_type_of_its_key(override, value):
    section, name = override.partition("=")[0].split(".")
    found = getattr(getattr(read(override), section), name)
    assert (found, type(found)) == (value, type(value))


def test_a_layer_is_named_by_its_index():
    for override in ("model.layers.1.size=256", "model.layers[1].size=256"):
        assert read(override).model.layers[1] == LSTMConfig(size=256)
    assert read("model.layers.1.type=gru").model.layers[1] == GRUConfig(size=192)
    layers = "[model]\nlayers = [{type='embedding', size=8}, {type='rnn_block'}, {type='dense'}]"
    assert read("model.layers.1.cell=gru", text=layers).model.layers[1].cell == "gru"
    assert len(read("model.layers=[{type='embedding', size=3}, {type='dense'}]").model.layers) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps", "has no value; write KEY=VALUE, such as train.steps=100"),
        ("", "has no value; write KEY=VALUE, such as train.steps=100"),
        ("=1", "unknown key; a config has corpus, model, train, sample"),
        ("train.step=1", "unknown key; did you mean steps?"),
        ("train.steps.x=1", "unknown key; did you mean steps?"),
        ("steps=1", "unknown key; did you mean train.steps?"),
        (
            "sample=1",
            "is a section; give one of its keys: prompt, length, temperature, top_k, top_p, min_p, "
            "repetition_penalty, stop",
        ),
        ("train.steps=ten", INTEGER),
        ("train.steps=", INTEGER),
        ("train.steps=1e3", INTEGER),
        ("train.steps=-1", INTEGER),
        ("train.learning_rate=nan", NUMBER),
        ("train.learning_rate=infinity", NUMBER),
        ("train.learning_rate=fast", NUMBER),
        ("train.stateful=1", "must be true or false"),
        (
            "train.schedule=cosin",
            'must be one of "linear", "cosine", "constant", "plateau"; did you mean cosine?',
        ),
        ("sample.prompt=", "must be a string of at least one character"),
        ("model=1", "give one key of one layer, such as model.layers.1.size=256"),
        ("model.layer.1.size=1", "unknown key; did you mean layers?"),
        ("model.layers.1=1", "give one key of one layer, such as model.layers.1.size=256"),
        ("model.layers.3.size=1", "no such layer; the 3 layers are counted from 0"),
        ("model.layers.-1.size=1", "no such layer; the 3 layers are counted from 0"),
        ("model.layers.1.sise=1", "unknown key; did you mean size?"),
        ("model.layers.0.rate=1", "unknown key; a layer of type embedding has type, size"),
        ("model.layers.1.size=0", "must be an integer from 1 to 65536"),
        ("model.layers.1.type=gro", f"{TYPES}; did you mean gru?"),
        ("model.layers=1", 'must be a list of tables like { type = "lstm", size = 192 }'),
        ("model.layers=[", 'must be a list in TOML, such as [{ type = "dense" }]'),
        (
            "model.layers=[{type='dense'}, {type='dense'}]",
            "the first layer must be of type embedding, not dense",
        ),
    ],
)
def test_an_invalid_override_is_refused_by_name(override, message):
    assert refused(override) == f"--set {override}: {message}"


def test_an_override_is_shown_on_one_short_line():
    assert refused("sample.prompt=a\udcff\n").startswith(
        r"--set sample.prompt=a\udcff\u000a: must be valid Unicode"
    )
    assert len(refused("train.steps=" + "9" * 9000)) < 200


def test_the_override_that_set_the_value_is_named():
    layers = "model.layers=[{type='embedding', size=3}, {type='dense'}]"
    assert refused(layers, "model.layers.0.size=0").startswith("--set model.layers.0.size=0: must be")
    assert refused(layers.replace("3", "0"), "model.layers.1.type=dense").startswith("--set model.layers=[")


def test_a_changed_layer_type_needs_the_keys_of_the_new_type():
    error = refused("model.layers.2.type=gru")
    assert error.startswith("my.toml with --set model.layers.2.type=gru: model.layers[2].size: is missing")


def test_an_error_from_a_value_and_an_override_names_both():
    layers = "{type='embedding', size=3}, {type='rnn_block', size=3}, {type='dense'}"
    expected = (
        "my.toml with --set model.layers.0.size=4: model.layers[1].size = 3: an rnn_block adds to its input"
    )
    text = f"model.layers = [{layers}]"
    assert refused("model.layers.0.size=4", "sample.length=3", text=text).startswith(expected)
    assert read("model.layers.0.size=4", "model.layers.1.size=4", text=text).model.layers[0].size == 4


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("train = 1", "train.steps=5", "[train] is not a section of the file"),
        ("model.layers = 1", "model.layers.0.size=5", "model.layers in the file is not a list"),
        ("model.layers = [1]", "model.layers.0.size=5", "model.layers[0] in the file is not a table"),
        (
            "model.layers = [{type=1}]",
            "model.layers.0.size=5",
            f"model.layers[0].type = 1: {TYPES}",
        ),
    ],
)
def test_an_override_of_an_invalid_part_of_the_file_is_refused(text, override, message):
    assert refused(override, text=text).startswith(f"--set {override}: {message}")
