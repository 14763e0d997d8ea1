import numpy as np
import pytest

from jaxrnn.reference import dense_backward, dense_forward, init_dense

from .oracle import central_differences, inner, random_like, relative_error


@pytest.mark.parametrize(
    "shape", [(3, 2, 4, 5), (1, 2, 4, 5), (3, 1, 4, 5), (3, 2, 1, 5), (3, 2, 4, 1), (1, 1, 1, 1)]
)
def test_the_backward_pass_agrees_with_central_differences(shape):
    time, batch, input_size, size = shape
    rng = np.random.default_rng(0)
    params = random_like(rng, init_dense(rng, input_size, size))
    xs = rng.standard_normal((time, batch, input_size))
    ys, residuals = dense_forward(params, xs)
    d_ys = random_like(rng, ys)

    gradients = dense_backward(params, residuals, d_ys)

    differences = central_differences(lambda args: inner(d_ys, dense_forward(*args)[0]), (params, xs))
    assert relative_error(gradients, differences) < 1e-9


def test_each_vector_is_mapped_independently():
    rng = np.random.default_rng(0)
    params = random_like(rng, init_dense(rng, 3, 2))
    xs = rng.standard_normal((4, 5, 3))
    ys, _ = dense_forward(params, xs)
    for t, b in np.ndindex(4, 5):
        expected = [sum(xs[t, b, i] * params.w[i, o] for i in range(3)) + params.b[o] for o in range(2)]
        np.testing.assert_allclose(ys[t, b], expected, rtol=1e-14)
