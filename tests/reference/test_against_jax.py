"""The NumPy reference and the library have equal losses for each update, and equal outputs."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import reference
from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.layers import losses
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack

from .oracle import leaves

VOCABULARY_SIZE, BATCH_SIZE, SEQ_LEN, UPDATES = 7, 3, 5, 10
STACKS = {
    "rnn": (EmbeddingConfig(size=4), RNNConfig(size=6), DenseConfig()),
    "lstm": (EmbeddingConfig(size=4), LSTMConfig(size=6), DenseConfig()),
    "gru": (EmbeddingConfig(size=4), GRUConfig(size=6), DenseConfig()),
    "blocks": (
        EmbeddingConfig(size=4),
        RNNBlockConfig(cell="rnn"),
        RNNBlockConfig(cell="lstm"),
        RNNBlockConfig(cell="gru"),
        DenseConfig(),
    ),
    "linear": (
        EmbeddingConfig(size=4),
        MinGRUConfig(size=6),
        RGLRUConfig(),
        MinLSTMConfig(size=3),
        DenseConfig(),
    ),
    "mixed": (
        EmbeddingConfig(size=4),
        DenseConfig(size=5),
        GRUConfig(size=6),
        LSTMConfig(size=3),
        DenseConfig(),
    ),
}
OPTIMIZERS = {"gradient_descent": (optax.sgd, 0.5), "adam": (optax.adam, 0.02)}


@pytest.fixture(autouse=True)
def sixty_four_bits():
    with jax.enable_x64(True):
        yield


@cache
def first_params(name):
    return stack.init(jax.random.key(0), ModelConfig(layers=STACKS[name]), VOCABULARY_SIZE, jnp.float64)


def stream_of_batches():
    """10 (tokens, targets) batches of 3 random streams, each continuing the batch before it."""
    text = np.random.default_rng(1).integers(VOCABULARY_SIZE, size=(BATCH_SIZE, UPDATES * SEQ_LEN + 1))
    for start in range(0, UPDATES * SEQ_LEN, SEQ_LEN):
        yield text[:, start : start + SEQ_LEN], text[:, start + 1 : start + SEQ_LEN + 1]


def train_in_jax(layers, params, optimizer, separator_id=None):
    """Train as `reference.train` does, with the library's layers, JAX's gradients and Optax's optimizers."""
    config = ModelConfig(layers=layers)

    def mean_loss(params, carry, tokens, targets):
        resets = find_resets(tokens, separator_id)
        carry, logits = stack.apply(config, params, carry, tokens, resets=resets)
        return losses.softmax_cross_entropy(logits, targets).mean(), carry

    @jax.jit
    def update(params, opt_state, carry, tokens, targets):
        (loss, carry), gradients = jax.value_and_grad(mean_loss, has_aux=True)(params, carry, tokens, targets)
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on type promotion
            updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, carry, loss

    opt_state, carry = optimizer.init(params), stack.initial_carry(config, params, BATCH_SIZE)
    found = []
    for tokens, targets in stream_of_batches():
        params, opt_state, carry, loss = update(params, opt_state, carry, tokens, targets)
        found.append(float(loss))
    return params, found


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_first_ten_losses_and_the_parameters_after_them_are_equal(name, optimizer):
    layers = STACKS[name]
    params = first_params(name)
    make_optimizer, learning_rate = OPTIMIZERS[optimizer]

    jax_params, jax_losses = train_in_jax(layers, params, make_optimizer(learning_rate))
    reference_params, reference_losses = reference.train(
        layers, jax.device_get(params), stream_of_batches(), learning_rate, optimizer=optimizer
    )

    assert len(reference_losses) == UPDATES
    np.testing.assert_allclose(reference_losses, jax_losses, rtol=1e-10)
    assert reference_losses[-1] != reference_losses[0]
    for ours, theirs in zip(leaves(reference_params), leaves(jax.device_get(jax_params)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_training_with_a_separator_is_equal():
    middle = (
        RNNBlockConfig(cell="rnn"),
        GRUConfig(size=4),
        RGLRUConfig(),
        MogrifierLSTMConfig(size=3, rounds=2, rank=2),
    )
    layers = (EmbeddingConfig(size=4), *middle, DenseConfig())
    params = stack.init(jax.random.key(0), ModelConfig(layers=layers), VOCABULARY_SIZE, jnp.float64)
    make_optimizer, learning_rate = OPTIMIZERS["adam"]
    jax_params, jax_losses = train_in_jax(layers, params, make_optimizer(learning_rate), separator_id=2)
    reference_params, reference_losses = reference.train(
        layers, jax.device_get(params), stream_of_batches(), learning_rate, separator_id=2
    )
    np.testing.assert_allclose(reference_losses, jax_losses, rtol=1e-10)
    for ours, theirs in zip(leaves(reference_params), leaves(jax.device_get(jax_params)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    _, without = reference.train(layers, jax.device_get(params), stream_of_batches(), learning_rate)
    assert abs(np.array(without) - reference_losses).max() > 1e-4


@pytest.mark.parametrize("name", ["blocks", "mixed"])
def test_logits_and_carries_from_a_random_carry_are_equal(name):
    layers = STACKS[name]
    config = ModelConfig(layers=layers)
    params = first_params(name)
    rng = np.random.default_rng(0)
    carry = stack.initial_carry(config, params, BATCH_SIZE)
    carry = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), carry)
    tokens = rng.integers(VOCABULARY_SIZE, size=(BATCH_SIZE, SEQ_LEN))

    jax_outputs = jax.jit(partial(stack.apply, config))(params, carry, tokens)
    reference_outputs = reference.model_forward(
        layers, jax.device_get(params), jax.device_get(carry), tokens
    )[:2]

    for ours, theirs in zip(leaves(reference_outputs), leaves(jax.device_get(jax_outputs)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", STACKS)
def test_initial_parameters_have_the_same_names_and_shapes(name):
    ours = reference.init_model(np.random.default_rng(0), STACKS[name], VOCABULARY_SIZE)

    def shapes(tree):
        return tree.shape if not isinstance(tree, tuple) else [type(tree).__name__, *map(shapes, tree)]

    assert shapes(ours) == shapes(first_params(name))
