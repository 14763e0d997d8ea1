import numpy as np
import pytest

from jaxrnn.reference import DenseParams, adam, gradient_descent, init_adam


def small_tree(rng):
    """Parameters of two layers, of which the first has none."""
    return ((), DenseParams(w=rng.standard_normal((3, 4)), b=rng.standard_normal(4)))


def test_gradient_descent_subtracts_the_gradient_and_keeps_the_tree():
    params = ((), DenseParams(w=np.array([[1.0]]), b=np.array([2.0])))
    gradients = ((), DenseParams(w=np.array([[10.0]]), b=np.array([-10.0])))
    assert gradient_descent(params, gradients, 0.1) == (
        (),
        DenseParams(w=np.array([[0.0]]), b=np.array([3.0])),
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_first_step_of_adam_is_the_learning_rate_times_the_sign_of_the_gradient(
    scale,
):
    rng = np.random.default_rng(0)
    params, gradients = small_tree(rng), small_tree(rng)
    gradients = ((), DenseParams(*(scale * g for g in gradients[1])))
    new_params, state = adam(params, gradients, init_adam(params), 0.01)
    assert state.step == 1
    for p, new_p, g in zip(params[1], new_params[1], gradients[1], strict=True):
        np.testing.assert_allclose(new_p - p, -0.01 * np.sign(g), rtol=1e-3)


def test_adam_with_a_constant_gradient_moves_by_the_learning_rate():
    params = (np.array([0.0]),)
    state = init_adam(params)
    for step in range(1, 20):
        params, state = adam(params, (np.array([3.0]),), state, 0.5)
        np.testing.assert_allclose(params[0], -0.5 * step, rtol=1e-7)


def test_adam_minimizes_a_quadratic():
    params = (np.array([5.0, -3.0]),)
    state = init_adam(params)
    for _ in range(300):
        params, state = adam(params, (2 * params[0],), state, 0.1)
    np.testing.assert_allclose(params[0], 0, atol=1e-3)


def test_adam_does_not_change_its_arguments():
    rng = np.random.default_rng(0)
    params, gradients = small_tree(rng), small_tree(rng)
    w_before = params[1].w.copy()
    state = init_adam(params)
    adam(params, gradients, state, 0.1)
    np.testing.assert_array_equal(params[1].w, w_before)
    assert not state.mean[1].w.any()


def test_adam_without_momentum_follows_the_current_gradient():
    params, state = (np.array([0.0]),), init_adam((np.array([0.0]),))
    params, state = adam(params, (np.array([4.0]),), state, 0.5, b1=0.0, b2=0.0)
    params, state = adam(params, (np.array([-0.1]),), state, 0.5, b1=0.0, b2=0.0)
    np.testing.assert_allclose(params[0], 0, atol=1e-6)  # two steps of equal size in opposite directions
    assert state.mean[0] == -0.1
