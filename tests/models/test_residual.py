"""A residual layer holds layers; a model with it can do what every model can."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    LSTMConfig,
    ModelConfig,
    ResidualConfig,
    RMSNormConfig,
    RNNBlockConfig,
    dump_config,
    parse_config,
)
from jaxrnn.errors import ConfigError, InterchangeError
from jaxrnn.inspection.activity import observe
from jaxrnn.interchange.description import by_name
from jaxrnn.interchange.torch_names import torch_modules
from jaxrnn.models import stack
from jaxrnn_cli import app
from tests.cli.conftest import write_files

TOML = """
[model]
layers = [
  { type = "embedding", size = 6 },
  { type = "residual", layers = [
    { type = "rms_norm" },
    { type = "causal_conv", width = 3 },
    { type = "lstm", size = 8 },
    { type = "dense", size = 6 },
  ] },
  { type = "residual", layers = [{ type = "rms_norm" }, { type = "gated_mlp", hidden = 7 }] },
  { type = "residual", layers = [{ type = "mlstm", size = 6, heads = 2 }] },
  { type = "rms_norm" },
  { type = "dense" },
]
"""
CONFIG = parse_config(TOML, "x.toml").model


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_an_rnn_block_is_a_residual_layer_of_a_cell_and_a_dense_layer(cell: str) -> None:
    inside = parse_config(
        f'[model]\nlayers = [{{type="embedding", size=5}}, {{type="residual", layers = [{{type="{cell}", size=5}}, '
        '{type="dense", size=5}]}, {type="dense"}]',
        "x.toml",
    ).model
    block = ModelConfig(layers=(EmbeddingConfig(size=5), RNNBlockConfig(cell=cell), DenseConfig()))
    params = stack.init(jax.random.key(0), block, 7)
    same = (params[0], tuple(params[1]), params[2])
    tokens = jax.random.randint(jax.random.key(1), (3, 4), 0, 7)

    @partial(jax.jit, static_argnums=0)
    @partial(jax.value_and_grad, argnums=1)
    def loss(config: ModelConfig, params: Any) -> Any:
        _, logits = stack.apply(config, params, stack.initial_carry(config, params, 3), tokens)
        return (logits**2).sum()

    both = loss(inside, same), loss(block, params)
    for found, expected in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_dropout_inside_draws_by_the_key() -> None:
    config = ModelConfig(
        layers=(EmbeddingConfig(size=5), ResidualConfig(layers=(DropoutConfig(rate=0.5),)), DenseConfig())
    )
    params = stack.init(jax.random.key(0), config, 7)
    tokens, carry = jnp.zeros((2, 3), int), stack.initial_carry(config, params, 2)
    keys = None, *jax.random.split(jax.random.key(1))
    apply = jax.jit(stack.apply, static_argnums=0)
    logits = [apply(config, params, carry, tokens, key)[1] for key in keys]
    assert not jnp.array_equal(logits[0], logits[1])
    assert not jnp.array_equal(logits[1], logits[2])


def test_the_config_is_written_and_read_back_and_a_key_inside_can_be_set() -> None:
    config = parse_config(TOML, "x.toml")
    assert parse_config(dump_config(config), "again.toml") == config
    wider = parse_config(TOML, "x.toml", ["model.layers.1.layers.2.size=10"])
    assert wider.model.layers[1].layers[2] == LSTMConfig(size=10)  # type: ignore[attr-defined]
    other = parse_config(TOML, "x.toml", ["model.layers.2.layers=[{type='rms_norm'}]"])
    assert other.model.layers[2] == ResidualConfig(layers=(RMSNormConfig(),))


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("", r"model.layers\[1\].layers: must be a list of 1 to 1000 layers"),
        (", layers = 3", r"model.layers\[1\].layers = 3: must be a list of tables"),
        (
            ', layers = [{type="lsmt"}]',
            r"model.layers\[1\].layers\[0\].type = \"lsmt\": must be one of .*mean lstm",
        ),
        (
            ', layers = [{type="lstm", size=7}]',
            r"model.layers\[1\].layers: .* has 6 features, and they have 7",
        ),
        (', layers = [{type="dense"}]', r"model.layers\[1\].layers\[0\].size: is missing"),
        (', layers = [{type="embedding", size=6}]', r"layers\[0\]: only the first layer of a model"),
    ],
)
def test_what_cannot_be_inside_is_refused_by_its_place(inside: str, message: str) -> None:
    toml = f'[model]\nlayers = [{{type="embedding", size=6}}, {{type="residual"{inside}}}, {{type="dense"}}]'
    with pytest.raises(ConfigError, match=message):
        parse_config(toml, "x.toml")


@pytest.mark.parametrize(
    "override", ["model.layers.1.layers.9.size=3", "model.layers.1.size=3", "model.layers.1.layers.2.sizes=3"]
)
def test_an_override_of_what_is_not_there_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"--set model\.layers\.1"):
        parse_config(TOML, "x.toml", [override])


def test_states_are_named_by_their_place_and_looked_at_from_outside() -> None:
    params = stack.init(jax.random.key(0), CONFIG, 5)
    carry = stack.initial_carry(CONFIG, params, 2)
    assert list(by_name(carry)) == ["xs_1_1", "h_1_2", "c_1_2", "c_3_0"]
    shapes: dict[int, dict[str, tuple[int, ...]]] = {1: {}, 3: {}}
    for track in observe(CONFIG, params, np.arange(5, dtype=np.uint8)).tracks:
        shapes[track.layer][track.kind] = track.values.shape
    assert shapes == {1: dict.fromkeys("hcifgo", (5, 8)), 3: dict.fromkeys("hcifo", (5, 6))}
    with pytest.raises(
        InterchangeError, match=r"layers\[1\] is of type residual, which no module of PyTorch"
    ):
        torch_modules(CONFIG, 5)


def test_it_is_trained_resumed_sampled_evaluated_inspected_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = Path("tiny.toml").read_text(encoding="utf-8")
    head, _, tail = text.partition("[model]")
    Path("blocks.toml").write_text(head + TOML + "\n[" + tail.partition("\n[")[2], encoding="utf-8")

    def run(*args: str) -> str:
        assert app.run([*args]) == 0
        return capsys.readouterr().out

    options = ("--set", "train.schedule=constant", "--quiet")
    run("pretrain", "blocks.toml", "--to", "whole", *options)
    run("pretrain", "blocks.toml", "--to", "parts", *options, "--set", "train.steps=10")
    run("pretrain", "blocks.toml", "--to", "parts", *options, "--resume")
    whole, parts = (run("sample", "--from", name, "--rng-seed", "1") for name in ("whole", "parts"))
    assert len(whole) > 20
    assert whole == parts
    assert "nats" in run("evaluate", "--from", "whole")
    run("inspect", "--from", "whole", "--text", "to be or not")
    run("export", "--from", "whole", "--format", "stablehlo")
