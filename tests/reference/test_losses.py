import numpy as np
import pytest

from jaxrnn.reference import softmax_cross_entropy_backward, softmax_cross_entropy_forward

from .oracle import central_differences, inner, random_like, relative_error


@pytest.mark.parametrize("shape", [(3, 2, 5), (1, 2, 5), (3, 1, 5), (1, 1, 2), (4,), ()])
def test_the_backward_pass_agrees_with_central_differences(shape):
    rng = np.random.default_rng(0)
    vocabulary_size = 5
    logits = rng.standard_normal((*shape, vocabulary_size))
    targets = rng.integers(vocabulary_size, size=shape)
    losses, residuals = softmax_cross_entropy_forward(logits, targets)
    assert losses.shape == shape
    d_losses = random_like(rng, losses)

    d_logits = softmax_cross_entropy_backward(residuals, d_losses)

    differences = central_differences(
        lambda logits: inner(d_losses, softmax_cross_entropy_forward(logits, targets)[0]), logits
    )
    assert relative_error(d_logits, differences) < 1e-9


def test_equal_logits_have_a_loss_of_log_v():
    losses, _ = softmax_cross_entropy_forward(np.full((2, 3, 65), 7.0), np.zeros((2, 3), int))
    np.testing.assert_allclose(losses, np.log(65), rtol=1e-14)


def test_a_vocabulary_of_1_character_has_zero_loss():
    losses, residuals = softmax_cross_entropy_forward(np.array([[3.0]]), np.array([0]))
    assert losses == 0
    assert softmax_cross_entropy_backward(residuals, np.ones(1)) == 0


def test_huge_logits_do_not_overflow():
    losses, residuals = softmax_cross_entropy_forward(np.array([[1e4, -1e4]]), np.array([1]))
    np.testing.assert_array_equal(losses, [2e4])
    np.testing.assert_array_equal(softmax_cross_entropy_backward(residuals, np.ones(1)), [[1.0, -1.0]])
