"""`train.precision` is the precision of matrix products, and of nothing else."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    Config,
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
    TrainConfig,
)
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.models.precision import round_weights
from jaxrnn.training.state import init_state
from jaxrnn.training.step import update
from jaxrnn.types import Params

# A factor of a product is rounded to 8 significant bits, a relative error of at most 2^-9. After several products, each
# a sum of hundreds of such errors of either sign, the error of a gradient relative to its norm is a few times that.
TOLERANCE = 16 * 2.0**-9

CELLS: list[LayerConfig] = [
    RNNConfig(size=24),
    LSTMConfig(size=24),
    GRUConfig(size=24),
    RNNBlockConfig(cell="gru"),
    MinGRUConfig(size=24),
    MinLSTMConfig(size=24),
    RGLRUConfig(),
]


@pytest.fixture(params=CELLS, ids=[cell.type for cell in CELLS])
def layers(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(layers=(EmbeddingConfig(size=24), request.param, LSTMConfig(size=16), DenseConfig()))


def gradient(config: ModelConfig, params: Params, precision: str) -> Params:
    tokens = jax.random.randint(jax.random.key(1), (8, 13), 0, 11)

    def loss(params: Params) -> jax.Array:
        weights = round_weights(params, precision)
        _, logits = stack.apply(config, weights, stack.initial_carry(config, params, 8), tokens[:, :-1])
        assert logits.dtype == jnp.float32
        return softmax_cross_entropy(logits, tokens[:, 1:]).mean()

    return jax.jit(jax.grad(loss))(params)


def test_every_gradient_agrees_with_float32(layers: ModelConfig) -> None:
    params = stack.init(jax.random.key(0), layers, vocabulary_size=11)
    exact, rounded = (jax.tree.leaves(gradient(layers, params, name)) for name in ("float32", "bfloat16"))
    for a, b in zip(rounded, exact, strict=True):
        assert a.dtype == jnp.float32
        assert 0 < np.linalg.norm(a - b) < TOLERANCE * np.linalg.norm(b)


def test_only_weights_of_products_are_rounded(layers: ModelConfig) -> None:
    params = stack.init(jax.random.key(0), layers, vocabulary_size=11)
    for path, leaf in jax.tree_util.tree_leaves_with_path(round_weights(params, "bfloat16")):
        is_weight = path[-1].name in ("w", "w_x", "w_h")
        assert leaf.dtype == (jnp.bfloat16 if is_weight else jnp.float32)
    same = round_weights(params, "float32")
    assert all(a is b for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(params), strict=True))


def test_a_step_in_bfloat16_rounds_its_products_and_keeps_its_state_in_float32(config: Config) -> None:
    config = replace(config, train=replace(config.train, precision="bfloat16"))
    state = init_state(config, 11)
    ids = jax.random.randint(jax.random.key(2), (500,), 0, 11).astype(jnp.uint8)
    step = jax.jit(update, static_argnums=(0, 1))
    new, loss, _ = step(config.model, config.train, state, ids)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True):
        assert before.dtype == after.dtype
    lowered = step.lower(config.model, config.train, state, ids).as_text()
    dots = [line for line in lowered.splitlines() if "stablehlo.dot_general" in line]
    assert dots
    for line in dots:
        operands, _, result = line.rpartition(" : ")[2].partition(" -> ")
        assert operands.count("bf16>") == 2
        assert "f32>" in result
    assert loss.dtype == jnp.float32


@pytest.mark.parametrize(
    ("precision", "expected", "accumulate_steps"), [("float32", "HIGHEST", 1), ("tf32", "HIGH", 2)]
)
def test_every_product_of_a_step_has_the_precision_of_the_config(
    layers: ModelConfig, precision: str, expected: str, accumulate_steps: int
) -> None:
    train = TrainConfig(batch_size=2, seq_len=8, precision=precision, accumulate_steps=accumulate_steps)
    state = jax.eval_shape(lambda: init_state(Config(model=layers, train=train), 11))
    ids = jax.ShapeDtypeStruct((500,), jnp.uint8)
    program = jax.jit(update, static_argnums=(0, 1)).lower(layers, train, state, ids).as_text()
    dots = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert dots
    assert all(f"precision = [{expected}, {expected}]" in line for line in dots)
