import numpy as np
import pytest

from jaxrnn.reference import draw_mask, dropout_backward, dropout_forward

from .oracle import central_differences, inner, random_like, relative_error


@pytest.mark.parametrize("shape", [(3, 2, 4), (1, 2, 4), (3, 1, 4), (3, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("variational", [False, True])
def test_the_backward_pass_agrees_with_central_differences(shape, rate, variational):
    rng = np.random.default_rng(0)
    mask = draw_mask(rng, rate, shape, variational=variational)
    xs = rng.standard_normal(shape)
    ys, residuals = dropout_forward(mask, xs)
    d_ys = random_like(rng, ys)

    d_xs = dropout_backward(residuals, d_ys)

    differences = central_differences(lambda xs: inner(d_ys, dropout_forward(mask, xs)[0]), xs)
    assert relative_error(d_xs, differences) < 1e-9


def test_a_mask_has_the_given_fraction_of_zeros_and_mean_1():
    mask = draw_mask(np.random.default_rng(0), 0.25, (100_000,))
    assert set(mask) == {0.0, 1 / 0.75}
    assert abs((mask == 0).mean() - 0.25) < 0.01
    assert abs(mask.mean() - 1) < 0.01


def test_no_mask_changes_neither_values_nor_gradients():
    xs = np.ones((2, 3, 4))
    ys, residuals = dropout_forward(None, xs)
    np.testing.assert_array_equal(ys, xs)
    np.testing.assert_array_equal(dropout_backward(residuals, 5 * xs), 5 * xs)


def test_a_variational_mask_is_the_same_for_all_time_steps():
    mask = draw_mask(np.random.default_rng(0), 0.5, (5, 20, 30), variational=True)
    assert mask.shape == (1, 20, 30)
    ys, _ = dropout_forward(mask, np.ones((5, 20, 30)))
    assert (ys == ys[0]).all()
    assert set(ys.flat) == {0.0, 2.0}
