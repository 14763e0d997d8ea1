import ast
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

import jaxrnn.reference
from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.reference import (
    init_model,
    initial_carry,
    loss_and_gradients,
    model_backward,
    model_forward,
    sample,
    softmax_cross_entropy_forward,
    train,
)
from jaxrnn.reference.optimizer import map_leaves

from .oracle import central_differences, inner, random_like, relative_error

VOCABULARY_SIZE = 5
STACKS = {
    "rnn": (EmbeddingConfig(size=3), RNNConfig(size=4), DenseConfig()),
    "lstm": (EmbeddingConfig(size=3), LSTMConfig(size=4), DenseConfig()),
    "gru": (EmbeddingConfig(size=3), GRUConfig(size=4), DenseConfig()),
    "blocks": (
        EmbeddingConfig(size=3),
        RNNBlockConfig(cell="gru"),
        RNNBlockConfig(cell="rnn"),
        DenseConfig(),
    ),
    "everything": (
        EmbeddingConfig(size=3),
        DropoutConfig(rate=0.3),
        RNNConfig(size=2),
        GRUConfig(size=4),
        DenseConfig(size=3),
        RNNBlockConfig(cell="lstm"),
        DropoutConfig(rate=0.3),
        DenseConfig(),
    ),
}


def random_batch(rng, batch_size, seq_len):
    """Tokens and targets, `[batch_size, seq_len]` each."""
    return rng.integers(VOCABULARY_SIZE, size=(2, batch_size, seq_len))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("batch_size", "seq_len"), [(2, 3), (1, 1)])
def test_the_gradients_of_the_loss_agree_with_central_differences(stack, batch_size, seq_len):
    layers = STACKS[stack]
    rng = np.random.default_rng(0)
    params = random_like(rng, init_model(rng, layers, VOCABULARY_SIZE))
    carry = random_like(rng, initial_carry(layers, params, batch_size))
    tokens, targets = random_batch(rng, batch_size, seq_len)

    def loss(params):
        _, logits, _ = model_forward(layers, params, carry, tokens, rng=np.random.default_rng(7))
        return softmax_cross_entropy_forward(logits, targets)[0].mean()

    value, gradients, _ = loss_and_gradients(
        layers, params, carry, tokens, targets, rng=np.random.default_rng(7)
    )
    assert value == loss(params)
    assert relative_error(gradients, central_differences(loss, params)) < 1e-8


@pytest.mark.parametrize("stack", ["rnn", "lstm", "gru", "blocks"])
def test_two_chunks_with_a_carried_state_equal_one_long_sequence(stack):
    layers = STACKS[stack]
    rng = np.random.default_rng(0)
    params = random_like(rng, init_model(rng, layers, VOCABULARY_SIZE))
    carry = random_like(rng, initial_carry(layers, params, 2))
    tokens, _ = random_batch(rng, 2, 7)
    last, logits, residuals = model_forward(layers, params, carry, tokens)
    d_last, d_logits = random_like(rng, (last, logits))

    middle, logits_1, residuals_1 = model_forward(layers, params, carry, tokens[:, :3])
    last_2, logits_2, residuals_2 = model_forward(layers, params, middle, tokens[:, 3:])
    d_params_2, d_middle = model_backward(layers, params, residuals_2, d_last, d_logits[:, 3:])
    d_params_1, d_carry = model_backward(layers, params, residuals_1, d_middle, d_logits[:, :3])

    assert relative_error((last_2, np.concatenate([logits_1, logits_2], axis=1)), (last, logits)) < 1e-14
    in_two = (map_leaves(np.add, d_params_1, d_params_2), d_carry)
    assert relative_error(in_two, model_backward(layers, params, residuals, d_last, d_logits)) < 1e-13


def test_the_gradient_of_the_initial_carry_agrees_with_central_differences():
    layers = STACKS["everything"]
    rng = np.random.default_rng(0)
    params = random_like(rng, init_model(rng, layers, VOCABULARY_SIZE))
    carry = random_like(rng, initial_carry(layers, params, 2))
    tokens, _ = random_batch(rng, 2, 3)
    last, logits, residuals = model_forward(layers, params, carry, tokens)
    cotangents = random_like(rng, (last, logits))

    _, d_carry = model_backward(layers, params, residuals, *cotangents)

    differences = central_differences(
        lambda carry: inner(cotangents, model_forward(layers, params, carry, tokens)[:2]), carry
    )
    assert relative_error(d_carry, differences) < 1e-8


def test_streams_of_a_batch_are_independent():
    layers = STACKS["everything"]
    rng = np.random.default_rng(0)
    params = init_model(rng, layers, VOCABULARY_SIZE)
    tokens, _ = random_batch(rng, 3, 4)
    _, together, _ = model_forward(layers, params, initial_carry(layers, params, 3), tokens)
    for b in range(3):
        _, alone, _ = model_forward(layers, params, initial_carry(layers, params, 1), tokens[b : b + 1])
        np.testing.assert_allclose(alone[0], together[b], rtol=1e-12)


def repeating_batches(text_ids, count, batch_size=4, seq_len=8):
    """Consecutive batches of streams that start at different characters of a repeating text."""
    for step in range(count):
        starts = np.arange(batch_size) + step * seq_len
        window = np.stack(
            [list(islice(cycle(text_ids), start, start + seq_len + 1)) for start in starts % 60]
        )
        yield window[:, :-1], window[:, 1:]


# 0 is followed by 1, 2 and 3 cyclically, so the model has to remember the token before the 0.
REPEATING = [0, 1, 0, 2, 0, 3]


@pytest.mark.parametrize("stack", ["rnn", "lstm", "gru", "blocks"])
def test_a_tiny_model_learns_a_repeating_text_and_continues_it(stack):
    layers = (EmbeddingConfig(size=8), *STACKS[stack][1:-1], DenseConfig())
    rng = np.random.default_rng(0)
    params = init_model(rng, layers, 4)
    params, losses = train(layers, params, repeating_batches(REPEATING, 150), 0.03, optimizer="adam")
    assert losses[0] > 1.0
    assert losses[-1] < 0.05
    written = sample(layers, params, REPEATING, 12, temperature=0, rng=rng)
    assert written == REPEATING * 2


def test_gradient_descent_reduces_the_loss():
    layers = STACKS["lstm"]
    params = init_model(np.random.default_rng(0), layers, 4)
    _, losses = train(layers, params, repeating_batches(REPEATING, 60), 0.5, optimizer="gradient_descent")
    assert losses[-1] < 0.8 * losses[0]


def test_training_with_dropout_depends_on_its_generator_only():
    layers = STACKS["everything"]
    params = init_model(np.random.default_rng(0), layers, 4)
    runs = [
        train(layers, params, repeating_batches(REPEATING, 3), 0.1, rng=np.random.default_rng(seed))[1]
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_greedy_sampling_does_not_depend_on_the_generator():
    layers = STACKS["everything"]
    params = init_model(np.random.default_rng(0), layers, VOCABULARY_SIZE)
    texts = [
        sample(layers, params, [1, 2], 20, temperature=0, rng=np.random.default_rng(seed))
        for seed in range(3)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_greedy_sampling_takes_the_most_likely_character():
    layers = STACKS["everything"]
    rng = np.random.default_rng(0)
    params = init_model(rng, layers, VOCABULARY_SIZE)
    text = [1, 2]
    for new_id in sample(layers, params, text, 10, temperature=0, rng=rng):
        # The whole text from the start must give the same logits as the carried state.
        _, logits, _ = model_forward(layers, params, initial_carry(layers, params, 1), np.array([text]))
        assert new_id == logits[0, -1].argmax()
        text = [*text, new_id]


def test_sampling_is_reproducible_and_greedy_at_low_temperature():
    layers = STACKS["lstm"]
    params = random_like(
        np.random.default_rng(0), init_model(np.random.default_rng(0), layers, VOCABULARY_SIZE)
    )

    def text(seed, temperature):
        return sample(layers, params, [1], 30, temperature=temperature, rng=np.random.default_rng(seed))

    assert text(1, 1.0) == text(1, 1.0) != text(2, 1.0)
    assert text(1, 1e-6) == text(2, 0)


def test_characters_are_sampled_with_the_model_probabilities():
    # With zero weights, the logits are the bias of the output layer.
    layers = (EmbeddingConfig(size=1), DenseConfig())
    params = map_leaves(np.zeros_like, init_model(np.random.default_rng(0), layers, 3))
    params = (params[0], params[1]._replace(b=np.log([0.1, 0.3, 0.6])))
    ids = sample(layers, params, [0], 5000, temperature=1.0, rng=np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(ids) / len(ids), [0.1, 0.3, 0.6], atol=0.03)
    ids = sample(layers, params, [0], 5000, temperature=0.5, rng=np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(ids) / len(ids), np.array([1, 9, 36]) / 46, atol=0.03)


def test_the_reference_imports_neither_jax_nor_the_layers():
    allowed = ("collections", "typing", "numpy", "jaxrnn.reference", "jaxrnn.config")
    for file in Path(jaxrnn.reference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith(allowed), f"{file.name} imports {name}"
