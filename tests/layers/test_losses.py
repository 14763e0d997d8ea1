"""Softmax cross-entropy: nats per token, and its gradient, softmax minus one-hot."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers.losses import nats_to_bits, softmax_cross_entropy

jitted = jax.jit(softmax_cross_entropy)


@jax.jit
@jax.value_and_grad
def both(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The sum of the losses and its gradient."""
    return softmax_cross_entropy(logits, targets).sum()


def test_uniform_logits_have_a_loss_of_log_v() -> None:
    losses = jitted(jnp.zeros((3, 2, 5)), jnp.zeros((3, 2), jnp.int32))
    assert losses.shape == (3, 2)
    np.testing.assert_allclose(losses, math.log(5), rtol=1e-6)


def test_the_loss_is_the_negative_log_probability_of_the_target() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 7))
    targets = jnp.array([0, 6, 3, 3], jnp.int32)
    probabilities = np.exp(np.asarray(logits, np.float64))
    probabilities /= probabilities.sum(-1, keepdims=True)
    expected = -np.log(probabilities[np.arange(4), np.asarray(targets)])
    np.testing.assert_allclose(jitted(logits, targets), expected, rtol=1e-5)


def test_the_gradient_is_softmax_minus_one_hot() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 7))
    targets = jnp.array([0, 6, 3, 3], jnp.int32)
    _, gradient = both(logits, targets)
    expected = np.array(jax.nn.softmax(logits))
    expected[np.arange(4), np.asarray(targets)] -= 1
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_huge_logits_overflow_neither_forward_nor_backward() -> None:
    logits = jnp.array([[1e30, -1e30, 0.0]])
    loss, gradient = both(logits, jnp.array([0]))
    assert float(loss) == 0.0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_cotangents_have_the_type_of_the_logits(dtype: jnp.dtype) -> None:
    logits = jnp.zeros((2, 3), dtype)
    _, bwd = jax.vjp(lambda logits: softmax_cross_entropy(logits, jnp.array([0, 1])), logits)
    assert bwd(jnp.ones(2, dtype))[0].dtype == dtype


@pytest.mark.parametrize("kind", [jnp.uint8, jnp.uint16, jnp.int32])
def test_targets_may_have_any_integer_type(kind: jnp.dtype) -> None:
    logits = jax.random.normal(jax.random.key(0), (2, 300))
    targets = jnp.array([0, 255])
    loss, gradient = both(logits, targets.astype(kind))
    expected_loss, expected_gradient = both(logits, targets)
    assert loss == expected_loss
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_only_differences_of_logits_matter() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 7))
    targets = jnp.array([0, 6, 3, 3])
    shifted = jitted(logits + 100, targets)
    np.testing.assert_allclose(shifted, jitted(logits, targets), atol=1e-4)


def test_a_logit_of_minus_infinity_gets_no_gradient() -> None:
    logits = jnp.array([[0.0, 0.0, -jnp.inf]])
    loss, gradient = both(logits, jnp.array([0]))
    np.testing.assert_allclose(loss, math.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0.5, 0]], rtol=1e-6)


def test_it_works_inside_jit_and_vmap_and_grad() -> None:
    logits = jax.random.normal(jax.random.key(0), (4, 5, 7))
    targets = jax.random.randint(jax.random.key(1), (4, 5), 0, 7)

    def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return (softmax_cross_entropy(logits, targets) ** 2).sum()

    together = jax.jit(jax.grad(lambda logits: jax.vmap(loss)(logits, targets).sum()))(logits)
    gradient = jax.jit(jax.grad(loss))
    pairs = zip(logits, targets, strict=True)
    np.testing.assert_allclose(together, jnp.stack([gradient(*pair) for pair in pairs]), atol=1e-5)


def test_forward_mode_is_refused() -> None:
    logits = jnp.zeros((1, 3))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda logits: softmax_cross_entropy(logits, jnp.array([0])), (logits,), (logits,))


def test_1_bit_is_log_2_nats() -> None:
    assert nats_to_bits(math.log(8)) == pytest.approx(3)
