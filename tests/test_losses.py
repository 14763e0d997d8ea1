"""Softmax cross-entropy: nats a character, and a gradient that is softmax minus one-hot."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.losses import nats_to_bits, softmax_cross_entropy


def test_equally_likely_characters_cost_the_log_of_their_number() -> None:
    losses = softmax_cross_entropy(jnp.zeros((3, 2, 5)), jnp.zeros((3, 2), jnp.int32))
    assert losses.shape == (3, 2)
    np.testing.assert_allclose(losses, math.log(5), rtol=1e-6)


def test_the_loss_is_minus_the_log_of_the_targets_probability() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 7))
    targets = jnp.array([0, 6, 3, 3], jnp.int32)
    probabilities = np.exp(np.asarray(logits, np.float64))
    probabilities /= probabilities.sum(-1, keepdims=True)
    expected = -np.log(probabilities[np.arange(4), np.asarray(targets)])
    np.testing.assert_allclose(softmax_cross_entropy(logits, targets), expected, rtol=1e-5)


def test_the_gradient_is_softmax_minus_one_hot() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 7))
    targets = jnp.array([0, 6, 3, 3], jnp.int32)
    gradient = jax.grad(lambda logits: softmax_cross_entropy(logits, targets).sum())(logits)
    expected = np.array(jax.nn.softmax(logits))
    expected[np.arange(4), np.asarray(targets)] -= 1
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_huge_logits_overflow_neither_forward_nor_backward() -> None:
    logits = jnp.array([[1e30, -1e30, 0.0]])
    loss, gradient = jax.value_and_grad(lambda x: softmax_cross_entropy(x, jnp.array([0])).sum())(logits)
    assert float(loss) == 0.0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_cotangents_have_the_type_of_the_logits(dtype: jnp.dtype) -> None:
    logits = jnp.zeros((2, 3), dtype)
    _, bwd = jax.vjp(lambda logits: softmax_cross_entropy(logits, jnp.array([0, 1])), logits)
    assert bwd(jnp.ones(2, dtype))[0].dtype == dtype


def test_a_bit_is_log_two_nats() -> None:
    assert nats_to_bits(math.log(8)) == pytest.approx(3)
