"""The sLSTM's own: stabilizer, normalizer, heads. What it has in common with other layers is in test_cells.py."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers.slstm import (
    SLSTMCarry,
    SLSTMParams,
    init_slstm,
    slstm,
    slstm_carry,
    slstm_gates,
    slstm_recurrence,
)

TIME, BATCH, INPUT, HIDDEN, HEADS = 50, 2, 3, 6, 2
PARAMS = init_slstm(jax.random.key(0), INPUT, HIDDEN, HEADS)
EMPTY = slstm_carry(PARAMS, BATCH)
XS = jax.random.normal(jax.random.key(1), (TIME, BATCH, INPUT))

jitted = jax.jit(slstm)


@jax.jit
@partial(jax.value_and_grad, argnums=(0, 1))
def loss(params: SLSTMParams, xs: jax.Array) -> jax.Array:
    return (slstm(params, EMPTY, xs)[1] ** 2).sum()


def without_stabilizer(params: SLSTMParams, xs: np.ndarray) -> np.ndarray:
    """The equations of the paper before the stabilizer, in float64: gates sigmoid(z_f) and exp(z_i)."""
    w_x, w_h, b = (np.asarray(leaf, np.float64) for leaf in params)
    heads, size, _ = w_h.shape
    h = c = n = np.zeros((xs.shape[1], heads * size))
    hs = []
    for x in np.asarray(xs, np.float64):
        z = (x @ w_x + b).reshape(-1, heads, 4, size)
        z = z + np.einsum("bhd,hde->bhe", h.reshape(-1, heads, size), w_h).reshape(z.shape)
        i, f, g, o = (z[:, :, gate].reshape(len(x), -1) for gate in range(4))
        forget = 1 / (1 + np.exp(-f))
        c, n = forget * c + np.exp(i) * np.tanh(g), forget * n + np.exp(i)
        h = c / n / (1 + np.exp(-o))
        hs.append(h)
    return np.stack(hs)


def test_it_computes_the_equations_without_stabilizer_where_these_do_not_overflow() -> None:
    _, hs = jitted(PARAMS, EMPTY, XS)
    np.testing.assert_allclose(hs, without_stabilizer(PARAMS, np.asarray(XS)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1e2, 1e3, 1e4])
def test_outputs_and_gradients_are_finite_at_any_pre_activation(scale: float) -> None:
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loss(PARAMS, scale * XS)))


def test_a_normalizer_of_an_empty_state_is_at_least_one_at_every_later_step() -> None:
    carry = EMPTY
    for x in 20 * np.asarray(XS):
        carry, _ = jitted(PARAMS, carry, x[None])
        assert np.min(carry.n) >= 1


def test_the_stabilizer_is_a_unit_of_measure() -> None:
    """Cell and normalizer in another unit e^m give the same outputs, and gradients without a share for m."""
    carry, _ = jitted(PARAMS, EMPTY, XS[:5])
    in_other_unit = SLSTMCarry(carry.h, carry.c * jnp.e, carry.n * jnp.e, carry.m - 1)
    _, hs = jitted(PARAMS, carry, XS[5:])
    _, same = jitted(PARAMS, in_other_unit, XS[5:])
    np.testing.assert_allclose(hs, same, rtol=1e-4, atol=1e-6)

    @jax.jit
    @jax.grad
    def gradient(change: jax.Array) -> jax.Array:
        moved = carry._replace(c=carry.c * jnp.exp(change), n=carry.n * jnp.exp(change), m=carry.m - change)
        return (slstm(PARAMS, moved, XS[5:])[1] ** 2).sum()

    assert abs(gradient(jnp.zeros(()))) < 1e-5


def test_no_unit_reads_the_state_of_another_head() -> None:
    size = HIDDEN // HEADS
    zs = jnp.zeros((TIME, BATCH, 4 * HIDDEN))
    carry = SLSTMCarry(*(jnp.ones((BATCH, HIDDEN)) for _ in SLSTMCarry._fields))
    other = carry._replace(h=carry.h.at[:, :size].set(2))
    recurrence = jax.jit(slstm_recurrence)
    _, hs = recurrence(PARAMS, carry, zs)
    _, changed = recurrence(PARAMS, other, zs)
    assert not jnp.array_equal(hs[..., :size], changed[..., :size])
    np.testing.assert_array_equal(hs[..., size:], changed[..., size:])


def test_heads_that_cannot_share_the_units_are_refused() -> None:
    with pytest.raises(ValueError, match="4 heads can't share 6 units"):
        init_slstm(jax.random.key(0), INPUT, HIDDEN, heads=4)


def test_the_shares_of_what_is_kept_and_written_are_one_and_make_the_cell() -> None:
    carry, _ = jitted(PARAMS, EMPTY, XS[:5])
    after, _ = jitted(PARAMS, carry, XS[5:6])
    gates = slstm_gates(PARAMS, carry, XS[5])
    np.testing.assert_allclose(gates["i"] + gates["f"], 1, rtol=1e-6)
    np.testing.assert_allclose(gates["c"], after.c / after.n, rtol=1e-5, atol=1e-6)
    mixed = gates["f"] * carry.c / carry.n + gates["i"] * gates["g"]
    np.testing.assert_allclose(gates["c"], mixed, rtol=1e-4, atol=1e-6)
