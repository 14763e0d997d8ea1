import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import dropout
from jaxrnn.layers.dropout import dropout_mask

KEY = jax.random.key(0)
ONES = jnp.ones((100, 200))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropped_fraction_and_mean_are_as_expected(rate: float) -> None:
    ys = dropout(KEY, rate, ONES)
    np.testing.assert_allclose(np.unique(ys), [0, 1 / (1 - rate)], rtol=1e-6)
    six_sigmas = 6 * np.sqrt(rate / (1 - rate) / ONES.size)
    assert abs(ys.mean() - 1) < six_sigmas


def test_every_element_has_its_own_mask() -> None:
    kept = np.asarray(dropout(KEY, 0.5, ONES) > 0, np.float64)
    six_sigmas = 6 * 0.5 / np.sqrt(ONES.shape)
    assert abs(kept.mean(axis=1) - 0.5).max() < six_sigmas[1]
    assert abs(kept.mean(axis=0) - 0.5).max() < six_sigmas[0]


def test_the_mask_depends_on_the_key() -> None:
    assert jnp.array_equal(dropout(KEY, 0.5, ONES), dropout(KEY, 0.5, ONES))
    assert not jnp.array_equal(dropout(KEY, 0.5, ONES), dropout(jax.random.key(1), 0.5, ONES))


def test_nothing_is_dropped_without_a_key_or_rate() -> None:
    assert dropout(None, 0.5, ONES) is ONES
    assert dropout(KEY, 0.0, ONES) is ONES


def test_gradients_pass_only_where_values_passed() -> None:
    xs = jax.random.normal(jax.random.key(1), (20, 30))
    ys, pull = jax.vjp(lambda xs: dropout(KEY, 0.3, xs), xs)
    (d_xs,) = pull(jnp.ones_like(xs))
    assert jnp.array_equal(d_xs > 0, ys != 0)
    np.testing.assert_allclose(d_xs * xs, ys, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_everything_has_the_type_of_the_input(dtype: jnp.dtype) -> None:
    ys, pull = jax.vjp(lambda xs: dropout(KEY, 0.3, xs), ONES.astype(dtype))
    assert ys.dtype == pull(ys)[0].dtype == dtype


def test_it_works_inside_jit_and_vmap_and_grad() -> None:
    keys = jax.random.split(KEY, 3)
    xs = jax.random.normal(jax.random.key(1), (3, 20))

    def loss(key: jax.Array, xs: jax.Array) -> jax.Array:
        return (dropout(key, 0.3, xs) ** 2).sum()

    together = jax.jit(jax.grad(lambda xs: jax.vmap(loss)(keys, xs).sum()))(xs)
    one_by_one = jnp.stack([jax.grad(loss, 1)(key, x) for key, x in zip(keys, xs, strict=True)])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-6)


def test_forward_mode_is_refused() -> None:
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda xs: dropout(KEY, 0.3, xs), (ONES,), (ONES,))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    for key in (KEY, None):
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1\)"):
            dropout(key, rate, ONES)


def test_with_a_key_per_row_a_mask_does_not_depend_on_other_rows() -> None:
    keys = jax.random.split(KEY, 3)
    xs = jnp.ones((7, 3, 40))
    for variational in (False, True):
        ys = dropout(keys, 0.3, xs, variational=variational)
        np.testing.assert_allclose(np.unique(ys), [0, 1 / 0.7], rtol=1e-6)
        for row in range(3):
            alone = dropout(keys[row : row + 1], 0.3, xs[:, :1], variational=variational)
            assert jnp.array_equal(ys[:, row], alone[:, 0])
            assert not jnp.array_equal(ys[:, row], ys[:, row - 1])
    mask = dropout_mask(keys, 0.3, xs[0])
    assert mask.shape == (3, 40)
    assert jnp.array_equal(mask[1], dropout_mask(keys[1:2], 0.3, xs[0, :1])[0])


# Variational dropout: one mask for all time steps.

SEQUENCE = jnp.ones((7, 30, 40))


def test_variational_dropout_drops_the_same_features_at_every_time_step() -> None:
    ys = dropout(KEY, 0.3, SEQUENCE, variational=True)
    assert ys.shape == SEQUENCE.shape
    assert (ys == ys[:1]).all()
    np.testing.assert_allclose(np.unique(ys), [0, 1 / 0.7], rtol=1e-6)
    six_sigmas = 6 * np.sqrt(0.3 / 0.7 / ys[0].size)
    assert abs(ys[0].mean() - 1) < six_sigmas
    rows, features = (np.asarray(ys[0] > 0).mean(axis) for axis in (1, 0))
    assert len(set(rows)) > 5
    assert len(set(features)) > 5  # masks differ between sequences and features


def test_the_variational_gradient_passes_where_values_passed() -> None:
    xs = jax.random.normal(jax.random.key(1), (7, 3, 20))
    ys, pull = jax.vjp(lambda xs: dropout(KEY, 0.3, xs, variational=True), xs)
    (d_xs,) = pull(jnp.ones_like(xs))
    assert jnp.array_equal(d_xs > 0, ys != 0)
    np.testing.assert_allclose(d_xs * xs, ys, rtol=1e-6)
    assert dropout(None, 0.3, xs, variational=True) is xs


def test_variational_dropout_of_a_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match="time"):
        dropout(KEY, 0.3, jnp.ones(()), variational=True)
