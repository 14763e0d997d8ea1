import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import DenseParams, dense, init_dense


@pytest.fixture
def params() -> DenseParams:
    return init_dense(jax.random.key(0), 3, 2)._replace(b=jnp.array([1.0, -1.0]))


@pytest.mark.parametrize("lead", [(), (5,), (4, 5), (2, 4, 5), (0,)])
def test_the_last_axis_is_mapped_for_any_leading_axes(params: DenseParams, lead: tuple[int, ...]) -> None:
    xs = jax.random.normal(jax.random.key(1), (*lead, 3))
    ys, pull = jax.vjp(dense, params, xs)
    assert ys.shape == (*lead, 2)
    for index in np.ndindex(lead):
        np.testing.assert_allclose(ys[index], xs[index] @ params.w + params.b, rtol=1e-5, atol=1e-6)
    d_params, d_xs = pull(ys)
    np.testing.assert_allclose(d_params.b, ys.reshape(-1, 2).sum(axis=0), rtol=1e-5, atol=1e-6)
    assert d_xs.shape == xs.shape


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_everything_has_the_type_of_the_arguments(dtype: jnp.dtype) -> None:
    params = init_dense(jax.random.key(0), 3, 2, dtype)
    ys, pull = jax.vjp(dense, params, jnp.ones((4, 3), dtype))
    leaves = [ys, *jax.tree.leaves(pull(ys)), *params]
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(dtype)}


def test_it_works_inside_jit_and_vmap_and_grad(params: DenseParams) -> None:
    xs = jax.random.normal(jax.random.key(1), (4, 5, 3))

    def loss(params: DenseParams, xs: jax.Array) -> jax.Array:
        return (dense(params, xs) ** 2).sum()

    together = jax.jit(jax.grad(lambda params: jax.vmap(loss, (None, 0))(params, xs).sum()))(params)
    one_by_one = jax.tree.map(
        lambda *leaves: jnp.stack(leaves).sum(axis=0), *[jax.grad(loss)(params, x) for x in xs]
    )
    np.testing.assert_allclose(together.w, one_by_one.w, rtol=1e-5)
    np.testing.assert_allclose(together.b, one_by_one.b, rtol=1e-5)


def test_forward_mode_is_refused(params: DenseParams) -> None:
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda xs: dense(params, xs), (jnp.ones(3),), (jnp.ones(3),))


def test_initial_weights_are_glorot_uniform_and_biases_zero() -> None:
    params = init_dense(jax.random.key(0), 50, 30)
    bound = np.sqrt(6 / (50 + 30))
    assert 0.99 * bound < abs(params.w).max() <= bound
    assert abs(params.w.mean()) < 0.05 * bound
    assert not params.b.any()
