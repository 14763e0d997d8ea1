"""RMSNorm; its gradient is verified in tests/gradcheck."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers.rms_norm import RMSNormParams, init_rms_norm, rms_norm

XS = jax.random.normal(jax.random.key(0), (5, 3, 2, 8))


def test_every_vector_has_the_root_mean_square_of_the_scale() -> None:
    ys = rms_norm(RMSNormParams(jnp.full(8, 3.0)), 100 * XS)
    np.testing.assert_allclose(jnp.sqrt((ys**2).mean(-1)), 3, rtol=1e-5)


def test_a_scale_of_two_axes_normalizes_each_head_for_itself() -> None:
    scale = jax.random.normal(jax.random.key(1), (2, 8))
    ys = rms_norm(RMSNormParams(scale), XS)
    for head in range(2):
        expected = rms_norm(RMSNormParams(scale[head]), XS[:, :, head])
        np.testing.assert_allclose(ys[:, :, head], expected, rtol=1e-6)
    gradient = jax.grad(lambda params: (rms_norm(params, XS) ** 2).sum())(RMSNormParams(scale))
    assert gradient.scale.shape == (2, 8)


def test_the_length_of_a_vector_has_no_gradient() -> None:
    """d L / d length = dx . x / |x|, which is zero but for epsilon."""
    d_xs = jax.grad(lambda xs: jnp.sin(rms_norm(init_rms_norm(8), xs)).sum())(XS)
    assert abs((d_xs * XS).sum(-1)).max() < 1e-4 < abs(d_xs).max()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_vector_of_zeros_stays_zeros_and_types_stay(dtype: jnp.dtype) -> None:
    zeros = jnp.zeros((3, 8), dtype)
    ys, pull = jax.vjp(rms_norm, init_rms_norm(8, dtype=dtype), zeros)
    d_params, d_xs = pull(jnp.ones_like(ys))
    assert not ys.any()
    assert jnp.isfinite(d_xs).all()
    assert {ys.dtype, d_params.scale.dtype, d_xs.dtype} == {jnp.dtype(dtype)}
