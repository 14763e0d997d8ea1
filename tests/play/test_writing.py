"""The data for the page of `jaxrnn play`: the text of `generation.sample` with probabilities and states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
)
from jaxrnn.models import stack
from jaxrnn.play.writing import BLOCK, Block, prepare, recurrent_layers, write
from jaxrnn.sampling import generation

VOCABULARY = 7
CONFIG = ModelConfig(
    layers=(EmbeddingConfig(size=4), GRUConfig(size=4), RNNBlockConfig(cell="lstm"), DenseConfig())
)
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(2), CONFIG, VOCABULARY))
SEED = np.array([3, 1, 4], np.uint8)
OPTIONS: dict[str, Any] = {
    "length": 3 * BLOCK + 5,
    "temperature": 0.7,
    "top_k": 5,
    "top_p": 0.9,
    "rng_seed": 5,
}


@pytest.fixture(scope="module")
def written() -> Block:
    blocks = list(write(prepare(CONFIG, PARAMS), SEED, **OPTIONS))
    assert [len(block.ids) for block in blocks] == [BLOCK, BLOCK, BLOCK, 5]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)


def test_the_text_equals_that_of_sample(written: Block) -> None:
    blocks = generation.sample(CONFIG, PARAMS, SEED, **OPTIONS)
    np.testing.assert_array_equal(written.ids, np.concatenate([block.ids[0] for block in blocks]))


def test_probabilities_do_not_depend_on_the_temperature(written: Block) -> None:
    text = np.concatenate([SEED, written.ids])
    tokens = jnp.asarray(text, jnp.int32)[None]
    _, logits = stack.apply(CONFIG, PARAMS, stack.initial_carry(CONFIG, PARAMS, 1), tokens)
    probabilities = np.asarray(jax.nn.softmax(logits[0]))[len(SEED) - 1 : -1]
    of_written = probabilities[np.arange(len(written.ids)), written.ids]
    np.testing.assert_allclose(written.nll, -np.log(of_written), atol=1e-5)
    expected = np.sort(probabilities, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(written.probabilities, expected, atol=1e-6)
    chosen = np.take_along_axis(probabilities, written.likeliest, axis=1)
    np.testing.assert_allclose(chosen, expected, atol=1e-6)


def test_states_are_those_before_each_character(written: Block) -> None:
    assert recurrent_layers(CONFIG, PARAMS) == (1, 2)
    carry = stack.initial_carry(CONFIG, PARAMS, 1)
    step = jax.jit(stack.step, static_argnums=0)
    for t, token in enumerate(np.concatenate([SEED, written.ids])[:-1]):
        carry, _ = step(CONFIG, PARAMS, None, carry, jnp.array([token], jnp.int32))
        if t >= len(SEED) - 1:
            for states, of_layer in zip(written.states, carry[1:3], strict=True):
                np.testing.assert_allclose(states[t - len(SEED) + 1], of_layer.h[0], atol=1e-5)


def test_a_vocabulary_of_three_has_three_alternatives() -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), DenseConfig()))
    writer = prepare(config, stack.init(jax.random.key(0), config, 3))
    (block,) = write(writer, SEED[1:2], length=2, temperature=0, top_k=0, top_p=1, rng_seed=0)
    assert block.likeliest.shape == (2, 3)
    np.testing.assert_array_equal(block.ids, block.likeliest[:, 0])  # greedy


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_p": 0}, {"top_k": -1}])
def test_values_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        next(write(prepare(CONFIG, PARAMS), SEED, **{**OPTIONS, **wrong}))


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        next(write(prepare(CONFIG, PARAMS), SEED[:0], **OPTIONS))
