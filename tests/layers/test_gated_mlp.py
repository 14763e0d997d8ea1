"""The gated feed-forward layer; its gradient is verified in tests/gradcheck."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.layers.gated_mlp import gated_mlp, init_gated_mlp

PARAMS = init_gated_mlp(jax.random.key(0), size=4, hidden_size=6)
XS = jax.random.normal(jax.random.key(1), (5, 3, 4))


def test_it_is_silu_of_one_half_times_the_other() -> None:
    w_a, w_v = jnp.split(PARAMS.w_in, 2, axis=1)
    expected = (jax.nn.silu(XS @ w_a) * (XS @ w_v)) @ PARAMS.w_out
    np.testing.assert_allclose(gated_mlp(PARAMS, XS), expected, rtol=1e-4, atol=1e-6)


def test_weights_in_bfloat16_leave_inputs_and_outputs_in_float32() -> None:
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    ys, pull = jax.vjp(gated_mlp, params, XS)
    d_params, d_xs = pull(ys)
    assert ys.dtype == d_xs.dtype == jnp.float32
    assert {leaf.dtype for leaf in d_params} == {jnp.dtype(jnp.bfloat16)}
    np.testing.assert_allclose(ys, gated_mlp(PARAMS, XS), rtol=0.1, atol=0.02)
