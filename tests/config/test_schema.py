"""The config dataclasses: defaults, limits, and valid combinations of layers."""

import dataclasses
import math
from typing import Any

import pytest

from jaxrnn.config import (
    LAYER_TYPES,
    CausalConvConfig,
    Config,
    CorpusConfig,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GatedMLPConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    MLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    ResidualConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
    SampleConfig,
    SLSTMConfig,
    TrainConfig,
    parse_config,
)
from jaxrnn.errors import ConfigError

COUNT = 2**31 - 1

# dataclass, field, the limits of the allowed range, and the nearest values outside it
LIMITS: list[tuple[Any, str, list[Any], list[Any]]] = [
    (CorpusConfig, "tokens", ["characters", "bytes"], ["", "byte", "words"]),
    (CorpusConfig, "streamed", ["auto", "always", "never"], ["", "Always", "sometimes"]),
    (CorpusConfig, "validation_fraction", [0.0, 0.999], [-1e-9, 1.0]),
    (CorpusConfig, "validation", ["", "a", ("a", "b")], ["a\0", ("a", 1), 1]),
    (CorpusConfig, "test", ["", "a", ("a", "b")], ["a\0", ("a", 1), 1]),
    (CorpusConfig, "test_fraction", [0.0, 0.899], [-1e-9, 0.9, 1.0]),
    (CorpusConfig, "encoding", ["utf-8", "latin-1", "UTF16"], ["", "utf-99", "hex", "a b"]),
    (CorpusConfig, "separator", ["", "\n", "\x1e", "\0", "\U0001f600"], ["\n\n", "--", "\ud800"]),
    (EmbeddingConfig, "size", [1, 65_536], [0, -1, 65_537, 10**30]),
    (DenseConfig, "size", [1, 65_536, None], [0, 65_537]),
    (RNNConfig, "size", [1, 65_536], [0, 65_537, None]),
    (LSTMConfig, "size", [1, 65_536], [0, 65_537, None]),
    (GRUConfig, "size", [1, 65_536], [0, 65_537, None]),
    (RNNBlockConfig, "size", [1, 65_536, None], [0, 65_537]),
    (RNNBlockConfig, "cell", ["rnn", "lstm", "gru"], ["LSTM", "", "dense"]),
    (MLSTMConfig, "size", [4, 65_536], [0, 65_537, None]),
    (MLSTMConfig, "heads", [1, 8], [0, 3, 16, 65_537]),
    (MLSTMConfig, "chunk", [1, 65_536], [0, 65_537]),
    (MinGRUConfig, "size", [1, 65_536], [0, 65_537, None]),
    (MinLSTMConfig, "size", [1, 65_536], [0, 65_537, None]),
    (RGLRUConfig, "size", [1, 65_536, None], [0, 65_537]),
    (RGLRUConfig, "min_decay", [1e-9, 0.998], [0.0, 0.999]),
    (GatedMLPConfig, "hidden", [1, 65_536], [0, 65_537, None]),
    (CausalConvConfig, "width", [1, 100], [0, 101]),
    (DropoutConfig, "rate", [0.0, 0.999], [-1e-9, 1.0]),
    (TrainConfig, "steps", [1, COUNT], [0, -1, COUNT + 1]),
    (LSTMConfig, "recurrent_dropout", [0.0, 0.999], [-1e-9, 1.0]),
    (MogrifierLSTMConfig, "size", [1, 65_536], [0, 65_537, None]),
    (MogrifierLSTMConfig, "rounds", [1, 100], [0, 101]),
    (MogrifierLSTMConfig, "rank", [0, 65_536], [-1, 65_537]),
    (SLSTMConfig, "size", [4, 65_536], [0, 65_537, None]),
    (SLSTMConfig, "heads", [1, 8], [0, 3, 16, 65_537]),
    (SLSTMConfig, "recurrent_dropout", [0.0, 0.999], [-1e-9, 1.0]),
    (MogrifierLSTMConfig, "recurrent_dropout", [0.0, 0.999], [-1e-9, 1.0]),
    (TrainConfig, "batch_size", [1, 2**20], [0, 2**20 + 1]),
    (TrainConfig, "seq_len", [1, 2**20], [0, 2**20 + 1]),
    (TrainConfig, "learning_rate", [1e-12, 100.0], [0.0, -1e-3, 100.1]),
    (TrainConfig, "eval_tokens", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "early_stopping", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "keep_every", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "reset_rate", [0.0, 1.0], [-1e-9, 1.001]),
    (TrainConfig, "accumulate_steps", [1, 65_536], [0, -1, 65_537]),
    (TrainConfig, "optimizer", ["adamw", "muon"], ["AdamW", "sgd", ""]),
    (TrainConfig, "beta1", [0.0, 0.999], [-1e-9, 1.0]),
    (TrainConfig, "beta2", [0.0, 0.999], [-1e-9, 1.0]),
    (TrainConfig, "ema_decay", [0.0, 0.9999], [-1e-9, 1.0]),
    (TrainConfig, "warmup_steps", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "schedule", ["linear", "cosine", "constant", "plateau"], ["", "Linear", "step"]),
    (TrainConfig, "plateau_patience", [1, COUNT], [0, COUNT + 1]),
    (TrainConfig, "plateau_factor", [1e-9, 0.999], [0.0, 1.0]),
    (TrainConfig, "weight_decay", [0.0, 100.0], [-1e-9, 100.1]),
    (TrainConfig, "max_grad_norm", [0.0, 1e6], [-1e-9, 1e6 + 1]),
    (TrainConfig, "log_every", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "eval_every", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "save_every", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "sample_every", [0, COUNT], [-1, COUNT + 1]),
    (TrainConfig, "rng_seed", [0, 2**32 - 1], [-1, 2**32]),
    (TrainConfig, "num_devices", [0, 65_536], [-1, 65_537]),
    (TrainConfig, "precision", ["float32", "tf32", "bfloat16"], ["float16", "bf16", "highest", ""]),
    (SampleConfig, "prompt", ["R", "é\n"], [""]),
    (SampleConfig, "length", [1, COUNT], [0, COUNT + 1]),
    (SampleConfig, "temperature", [0.0, 1000.0], [-1e-9, 1000.1]),
    (SampleConfig, "top_k", [0, 1_114_112], [-1, 1_114_113]),
    (SampleConfig, "top_p", [1e-9, 1.0], [0.0, 1.001]),
    (SampleConfig, "min_p", [0.0, 1.0], [-1e-9, 1.001]),
    (SampleConfig, "repetition_penalty", [1.0, 1000.0], [0.999, 1000.1]),
    (CorpusConfig, "text", ["shakespeare", "./a b.txt"], ["", "a\0b"]),
]
NUMBERS = [(record, name) for record, name, allowed, _ in LIMITS if not isinstance(allowed[0], str)]
WHOLE_NUMBERS = [(record, name) for record, name, allowed, _ in LIMITS if isinstance(allowed[0], int)]
REQUIRED = {"size": 8, "hidden": 8, "rate": 0.5}


def make(record, **values):
    required = {
        field.name: REQUIRED[field.name]
        for field in dataclasses.fields(record)
        if field.default is dataclasses.MISSING
    }
    return record(**{**required, **values})


@pytest.mark.parametrize(("record", "name", "allowed", "refused"), LIMITS)
def test_a_value_is_accepted_up_to_its_limits_and_refused_beyond(record, name, allowed, refused):
    for value in allowed:
        assert getattr(make(record, **{name: value}), name) == value
    for value in refused:
        with pytest.raises(ConfigError, match=f"^{name} = "):
            make(record, **{name: value})


def test_the_limits_of_every_field_are_tested():
    records = [CorpusConfig, TrainConfig, SampleConfig, *LAYER_TYPES.values()]
    fields = {(record, field.name) for record in records for field in dataclasses.fields(record)}
    without_limits = {
        (TrainConfig, "stateful"),
        (DropoutConfig, "variational"),
        (SampleConfig, "stop"),
        (CorpusConfig, "field"),
        (ResidualConfig, "layers"),
    }
    assert fields == {(record, name) for record, name, _, _ in LIMITS} | without_limits


@pytest.mark.parametrize(("record", "name"), NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", [1], {}, math.nan, math.inf, -math.inf])
def test_non_numbers_are_not_converted(record, name, value):
    with pytest.raises(ConfigError, match=rf"^{name} = .*: must be a"):
        make(record, **{name: value})


@pytest.mark.parametrize(("record", "name"), WHOLE_NUMBERS)
def test_an_integer_is_written_without_a_point_or_an_exponent(record, name):
    with pytest.raises(ConfigError, match=rf"^{name} = 64\.0: .*without a point or an exponent"):
        make(record, **{name: 64.0})


def test_an_integer_given_for_a_float_becomes_one():
    max_grad_norm = TrainConfig(max_grad_norm=5).max_grad_norm
    assert max_grad_norm == 5.0
    assert isinstance(max_grad_norm, float)


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_only_booleans_are_booleans(value):
    with pytest.raises(ConfigError, match=r"^stateful = .*: must be true or false"):
        TrainConfig(stateful=value)
    with pytest.raises(ConfigError, match=r"^variational = .*: must be true or false"):
        DropoutConfig(rate=0.1, variational=value)


@pytest.mark.parametrize(
    ("record", "name"), [(CorpusConfig, "text"), (SampleConfig, "prompt"), (SampleConfig, "stop")]
)
@pytest.mark.parametrize("value", [1, True, None, "\ud800", "a\udcff"])
def test_a_string_must_be_valid_unicode(record, name, value):
    with pytest.raises(ConfigError, match=f"^{name} = "):
        record(**{name: value})


@pytest.mark.parametrize("value", ["ROMEO", "\0", "\r\n", "🎭", "\ud7ff", "\ue000", ""])
def test_any_string_can_be_a_stop_text(value):
    assert SampleConfig(stop=value).stop == value


def test_steps_may_be_fewer_than_warmup_steps():
    assert TrainConfig(steps=5).warmup_steps == TrainConfig().warmup_steps > 5


def test_the_defaults_are_a_small_lstm():
    sizes = [(layer.type, layer.size) for layer in Config().model.layers]
    assert sizes == [("embedding", 192), ("lstm", 192), ("dense", None)]


def test_a_config_is_hashable_and_immutable():
    assert hash(Config()) == hash(Config())
    assert hash(ModelConfig(layers=[EmbeddingConfig(size=1), DenseConfig()]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.steps = 3


E, D = EmbeddingConfig(size=8), DenseConfig()


@pytest.mark.parametrize(
    "layers",
    [
        [E, D],
        [E, DenseConfig(size=3), LSTMConfig(size=5), GRUConfig(size=2), RNNConfig(size=1), D],
        [E, DropoutConfig(rate=0.1), RNNBlockConfig(), RNNBlockConfig(size=8), DropoutConfig(rate=0), D],
        [E, LSTMConfig(size=5), DropoutConfig(rate=0.1), RNNBlockConfig(size=5), D],
        [E, *[RNNBlockConfig()] * 998, D],
    ],
)
def test_valid_layers_are_accepted(layers):
    assert ModelConfig(layers=layers).layers == tuple(layers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"^layers: must be a list of 2 to 1000 layers, .* but has 0$"),
        ([E], r"^layers: .* but has 1$"),
        ([E, *[RNNBlockConfig()] * 999, D], r"^layers: .* but has 1001$"),
        ([LSTMConfig(size=8), D], r"^layers\[0\]: the first layer must be of type embedding, not lstm$"),
        ([D, E], r"^layers\[0\]: the first layer must be of type embedding, not dense$"),
        ([E, LSTMConfig(size=8), E, D], r"^layers\[2\]: only the first layer can be of type embedding$"),
        ([E, D, LSTMConfig(size=8), D], r"^layers\[1\]: only the last layer can be a dense without a size"),
        ([E, LSTMConfig(size=8)], r"^layers\[1\]: the last layer must be of type dense, not lstm$"),
        ([E, DenseConfig(size=65)], r"^layers\[1\]\.size: leave it out"),
        (
            [E, RNNBlockConfig(size=9), D],
            r"^layers\[1\]\.size = 9: .* set the input's size, 8, or leave this key out$",
        ),
        (
            [E, GRUConfig(size=4), DropoutConfig(rate=0), RNNBlockConfig(size=8), D],
            r"^layers\[3\]\.size = 8: .*, 4,",
        ),
        ([E, RNNBlockConfig(), RNNBlockConfig(size=7), D], r"^layers\[2\]\.size = 7: .*, 8,"),
        ([E, "lstm", D], r"^layers\[1\] = \"lstm\": must be a layer's config$"),
    ],
)
def test_invalid_layers_are_refused_by_index_and_type(layers, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(layers=layers)


# Options that require or exclude others.


def test_resets_need_a_carried_state():
    with pytest.raises(ConfigError, match=r"^accumulate_steps = 2: with steps = 1073741824"):
        TrainConfig(accumulate_steps=2, steps=2**30)
    assert TrainConfig(accumulate_steps=2, steps=2**30 - 1, batch_size=3, seq_len=5).tokens_per_step == 30
    with pytest.raises(ConfigError, match=r"^reset_rate = 0\.1: with stateful = false"):
        TrainConfig(reset_rate=0.1, stateful=False)


def separator_refused(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "my.toml", overrides)
    message = str(error.value)
    assert message.isprintable() and len(message) < 300
    return message


def test_an_error_shows_the_separator_as_toml() -> None:
    for written, character in (("\\n", "\n"), ("\\u001E", "\x1e"), (";", ";")):
        text = f'[corpus]\nseparator = "{written}"'
        assert parse_config(text, "my.toml").corpus.separator == character
        assert parse_config("", "my.toml", [f'corpus.separator="{written}"']).corpus.separator == character
    assert parse_config("[corpus]", "my.toml").corpus.separator == ""


@pytest.mark.parametrize("mark", ["<|endoftext|>", "\n\n", "it's / $HOME @x", "été\u2028", "x" * 100_000])
def test_a_separator_of_several_tokens_is_refused(mark: str) -> None:
    with pytest.raises(ConfigError, match="must be one token") as error:
        CorpusConfig(separator=mark)
    assert str(error.value).isprintable() and len(str(error.value)) < 300


def test_a_separator_of_bytes_is_an_ascii_character() -> None:
    assert CorpusConfig(separator="é").separator == "é"
    assert CorpusConfig(separator="e", tokens="bytes").separator == "e"
    assert "must be one token" in separator_refused('[corpus]\ntokens = "bytes"\nseparator = "é"')


def test_an_unexpanded_escape_in_a_separator_is_refused_with_the_syntax() -> None:
    for message in (
        separator_refused("[corpus]\nseparator = '\\n'"),
        separator_refused("", r"corpus.separator=\n"),
    ):
        assert """--set 'corpus.separator="\\n"'""" in message
