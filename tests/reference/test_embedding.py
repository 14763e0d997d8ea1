import numpy as np
import pytest

from jaxrnn.reference import embedding_backward, embedding_forward, init_embedding

from .oracle import central_differences, inner, random_like, relative_error


@pytest.mark.parametrize(
    "shape", [(3, 2, 4, 5), (1, 2, 4, 5), (3, 1, 4, 5), (3, 2, 1, 5), (3, 2, 4, 1), (1, 1, 1, 1)]
)
def test_the_backward_pass_agrees_with_central_differences(shape):
    time, batch, vocabulary_size, size = shape
    rng = np.random.default_rng(0)
    params = init_embedding(rng, vocabulary_size, size)
    ids = rng.integers(vocabulary_size, size=(time, batch))
    xs, residuals = embedding_forward(params, ids)
    d_xs = random_like(rng, xs)

    gradient = embedding_backward(params, residuals, d_xs)

    differences = central_differences(lambda params: inner(d_xs, embedding_forward(params, ids)[0]), params)
    assert relative_error(gradient, differences) < 1e-9


def test_the_gradient_of_a_repeated_token_is_summed():
    params = init_embedding(np.random.default_rng(0), 3, 1)
    ids = np.array([[2, 0], [2, 2]])
    _, residuals = embedding_forward(params, ids)
    d_xs = np.array([[[1.0], [10.0]], [[100.0], [1000.0]]])
    gradient = embedding_backward(params, residuals, d_xs)
    np.testing.assert_array_equal(gradient.table, [[10.0], [0.0], [1101.0]])
