"""Strict reading of a config, with helpful errors."""

import pytest

from jaxrnn.config import (
    Config,
    CorpusConfig,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    ModelConfig,
    RNNBlockConfig,
    SampleConfig,
    TrainConfig,
    dump_config,
    parse_config,
)
from jaxrnn.config.other_names import OTHER_NAMES
from jaxrnn.config.reading import PATHS
from jaxrnn.errors import ConfigError

NUMBER = "must be a number above 0, up to 100"
INTEGER = "must be an integer from 1 to 2147483647"
SIZE = "must be an integer from 1 to 65536"
TYPES = (
    "must be one of embedding, dense, dropout, rnn, lstm, mogrifier_lstm, gru, slstm, mlstm, min_gru, min_lstm, "
    "rg_lru, rnn_block, rms_norm, gated_mlp, causal_conv, residual"
)
LAYERS = "[model]\nlayers = "


def refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "my.toml")
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith("my.toml: ")
    return message.removeprefix("my.toml: ")


@pytest.mark.parametrize("text", ["", "\ufeff", "# nothing", "[corpus]\n[model]\n[train]\n[sample]"])
def test_missing_keys_have_defaults(text):
    assert parse_config(text, "my.toml") == Config()


def test_given_values_are_read():
    config = parse_config(
        "[train]\nsteps = 30\nmax_grad_norm = 5\nstateful = false\n[sample]\nprompt = 'A'", "my.toml"
    )
    assert config == Config(
        train=TrainConfig(steps=30, max_grad_norm=5.0, stateful=False), sample=SampleConfig(prompt="A")
    )


@pytest.mark.parametrize(
    "text",
    [
        LAYERS + "[{type='embedding', size=8}, {type='rnn_block', cell='gru'}, {type='dropout', rate=0}, "
        "{type='dense'}]",
        "[[model.layers]]\ntype='embedding'\nsize=8\n[[model.layers]]\ntype='rnn_block'\ncell='gru'\n"
        "[[model.layers]]\ntype='dropout'\nrate=0\n[[model.layers]]\ntype='dense'",
    ],
)
def test_layers_are_read_in_both_toml_notations(text):
    layers = (EmbeddingConfig(size=8), RNNBlockConfig(cell="gru"), DropoutConfig(rate=0.0), DenseConfig())
    assert parse_config(text, "my.toml").model == ModelConfig(layers=layers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nstep = 1", "train.step: unknown key; did you mean steps?"),
        ("[train]\nbatch-size = 1", 'train."batch-size": unknown key; did you mean batch_size?'),
        ("[train]\nLearning_Rate = 1", "train.Learning_Rate: unknown key; did you mean learning_rate?"),
        ("[train]\ntemperature = 1", "train.temperature: unknown key; did you mean sample.temperature?"),
        ("[sample]\nrng_seed = 1", "sample.rng_seed: unknown key; did you mean train.rng_seed?"),
        (
            "[sample]\nfoo = 1",
            "sample.foo: unknown key; [sample] has prompt, length, temperature, top_k, top_p, min_p, "
            "repetition_penalty, stop",
        ),
        (
            '[corpus]\n"a\\nb\\u001b" = 1',
            'corpus."a\\nb\\u001b": unknown key; [corpus] has text, tokens, validation, '
            "validation_fraction, test, test_fraction, streamed, encoding, field, separator",
        ),
        ("[trian]\nsteps = 1", "trian: unknown key; did you mean train?"),
        ("steps = 1", "steps: unknown key; did you mean train.steps?"),
        ("lr = 1", "lr: unknown key; did you mean train.learning_rate?"),
        ("[train]\ngrad_clip = 1", "train.grad_clip: unknown key; did you mean train.max_grad_norm?"),
        ("[train]\nmax_iters = 1", "train.max_iters: unknown key; did you mean train.steps?"),
        ("[train]\nn_timesteps = 1", "train.n_timesteps: unknown key; did you mean train.seq_len?"),
        ("zzz = 1", "zzz: unknown key; a config has corpus, model, train, sample"),
        ("[model]\nlayer = []", "model.layer: unknown key; did you mean layers?"),
        (LAYERS + "[{type='lstm', sise=8}]", "model.layers[0].sise: unknown key; did you mean size?"),
        (
            LAYERS + "[{type='gru', size=8, rate=0.1}]",
            "model.layers[0].rate: unknown key; a layer of type gru has type, size",
        ),
        (
            LAYERS + "[{type='dropout', rate=0.1, cell='gru'}]",
            "model.layers[0].cell: unknown key; a layer of type dropout has type, rate, variational",
        ),
        (LAYERS + "[{type='lsmt'}]", f'model.layers[0].type = "lsmt": {TYPES}; did you mean lstm?'),
        (
            "[train]\nschedule = 'liner'",
            'train.schedule = "liner": must be one of "linear", "cosine", "constant", "plateau"; '
            "did you mean linear?",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all_names(text, message):
    assert refused(text) == message


def test_a_long_unknown_key_is_refused_in_a_short_line():
    assert len(refused("[sample]\n" + "s" * 900_000 + " = 1")) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nsteps = true", f"train.steps = true: {INTEGER}"),
        ("[train]\nsteps = 1e3", f"train.steps = 1000.0: {INTEGER}, without a point or an exponent"),
        ("[train]\nsteps = '5'", f'train.steps = "5": {INTEGER}'),
        ("[train]\nsteps = 1979-05-27", f"train.steps = (a date): {INTEGER}"),
        ("[train]\nsteps = [1]", f"train.steps = (a list): {INTEGER}"),
        ("[train]\nsteps = 0x" + "f" * 9000, f"train.steps = (a huge integer): {INTEGER}"),
        ("[train]\nlearning_rate = nan", f"train.learning_rate = nan: {NUMBER}"),
        ("[train]\nlearning_rate = 1e999", f"train.learning_rate = inf: {NUMBER}"),
        ("[train]\nlearning_rate = 1" + "0" * 400, f"train.learning_rate = (a huge integer): {NUMBER}"),
        ("[train]\nplateau_factor = 1", "train.plateau_factor = 1: must be a number above 0 and below 1"),
        ("[train]\nsteps.a.b.c = 1", f"train.steps = (a table): {INTEGER}"),
        (
            "[corpus]\nvalidation_fraction = 1.0",
            "corpus.validation_fraction = 1.0: must be a number from 0 to below 1",
        ),
        ("[sample]\ntemperature = -0.5", "sample.temperature = -0.5: must be a number from 0 to 1000"),
        ("[sample]\nprompt = ''", 'sample.prompt = "": must be a string of at least one character'),
        ("[sample]\nstop = 1", "sample.stop = 1: must be a string"),
        ("train = 1", "train = 1: must be a section, begun by the line [train]"),
        ("[[model]]", "model = (a list): must be a section, begun by the line [model]"),
        (
            "[model.layers]",
            'model.layers = (a table): must be a list of tables like { type = "lstm", size = 192 }',
        ),
        (LAYERS + "['lstm']", 'model.layers[0] = "lstm": must be a table like { type = "lstm", size = 192 }'),
        (LAYERS + "[{}]", f"model.layers[0].type: is missing; it {TYPES}"),
        (LAYERS + "[{type=[]}]", f"model.layers[0].type = (a list): {TYPES}"),
        (
            LAYERS + "[{type='embedding'}]",
            f"model.layers[0].size: is missing; a layer of type embedding needs it, and it {SIZE}",
        ),
        (
            LAYERS + "[{type='embedding', size=1" + "0" * 30 + "}]",
            "model.layers[0].size = 1" + "0" * 30 + f": {SIZE}",
        ),
        (
            LAYERS + "[{type='embedding', size=8}, {type='gru', size=-1}]",
            f"model.layers[1].size = -1: {SIZE}",
        ),
        (
            LAYERS + "[{type='gru', size=8}, {type='dense'}]",
            "model.layers[0]: the first layer must be of type embedding, not gru",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_an_invalid_value_is_refused_with_the_allowed_values(text, message):
    assert refused(text) == message


@pytest.mark.parametrize("names", ["a.txt", ("a.txt",), ("a.txt", "b/", "hamlet")])
def test_a_corpus_is_one_name_or_a_list_and_survives_a_round_trip(names: str | tuple[str, ...]) -> None:
    config = Config(corpus=CorpusConfig(text=names))
    assert parse_config(dump_config(config), "again") == config


@pytest.mark.parametrize("value", ["[]", '["a", 3]', '[""]', '[["a"]]', '["a\\u0000"]'])
def test_a_list_of_corpora_must_have_names(value: str) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.text = .*must be"):
        parse_config(f"[corpus]\ntext = {value}\n", "file")


def test_a_list_of_corpora_can_be_set_by_an_override() -> None:
    def text(value: str) -> object:
        return parse_config("", "file", [f"corpus.text={value}"]).corpus.text

    assert text('["a.txt", "b"]') == ("a.txt", "b")
    assert text("[draft].txt") == "[draft].txt"


def test_a_key_of_another_tool_is_refused_with_the_corresponding_key() -> None:
    keys = {"corpus.text", "model.layers", *PATHS.values()}
    for name, ours in OTHER_NAMES.items():
        assert name not in PATHS, f"{name} is a key of ours"
        assert any(key in ours for key in keys), f"{name}: {ours} names no key"
