"""The mLSTM: whatever the chunk, it is the recurrence. Its gradient is verified in tests/gradcheck."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.gradcheck.cases import ON_TRIAL
from jaxrnn.layers.mlstm import (
    MLSTMCarry,
    MLSTMParams,
    init_mlstm,
    mlstm,
    mlstm_carry,
    mlstm_gates,
    mlstm_step,
)

TIME, BATCH, INPUT, HIDDEN, HEADS = 11, 2, 3, 6, 2
PARAMS = init_mlstm(jax.random.key(0), INPUT, HIDDEN, HEADS)
EMPTY = mlstm_carry(PARAMS, BATCH)
FIRST = MLSTMCarry(jax.random.normal(jax.random.key(1), EMPTY.c.shape))
XS = jax.random.normal(jax.random.key(2), (TIME, BATCH, INPUT))
RESETS = jax.random.bernoulli(jax.random.key(3), 0.3, (TIME, BATCH))
D_OUTPUTS = (FIRST, jax.random.normal(jax.random.key(4), (TIME, BATCH, HIDDEN)))


@partial(jax.jit, static_argnums=0)
def run(layer: Any, *given: Any) -> Any:
    outputs, pull = jax.vjp(layer, *given)
    return outputs, pull(D_OUTPUTS)


@cache
def step_by_step(without_resets: bool) -> Any:
    return run(partial(ON_TRIAL["mlstm"].plain, resets=None if without_resets else RESETS), PARAMS, FIRST, XS)


jitted = jax.jit(mlstm)


def assert_close(found: Any, expected: Any) -> None:
    for pair in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("resets", [None, RESETS], ids=["no resets", "resets"])
@pytest.mark.parametrize("chunk", [1, 2, 4, TIME, 64])
def test_chunks_of_any_length_are_the_recurrence(chunk: int, resets: jax.Array | None) -> None:
    assert_close(
        run(partial(mlstm, resets=resets, chunk=chunk), PARAMS, FIRST, XS), step_by_step(resets is None)
    )


def test_two_calls_with_the_carry_handed_on_and_single_steps_are_one_sequence() -> None:
    def in_two(params: MLSTMParams, carry: MLSTMCarry, xs: jax.Array) -> Any:
        carry, first = mlstm(params, carry, xs[:5], resets=RESETS[:5])
        carry, second = mlstm(params, carry, xs[5:], resets=RESETS[5:])
        return carry, jnp.concatenate([first, second])

    def in_steps(params: MLSTMParams, carry: MLSTMCarry, xs: jax.Array) -> Any:
        def step(carry: MLSTMCarry, here: Any) -> Any:
            return mlstm_step(params, carry, here[0], reset=here[1])

        return jax.lax.scan(step, carry, (xs, RESETS))

    expected = run(partial(mlstm, resets=RESETS), PARAMS, FIRST, XS)
    assert_close(run(in_two, PARAMS, FIRST, XS), expected)
    assert_close(run(in_steps, PARAMS, FIRST, XS), expected)


def test_a_value_is_read_back_by_its_key() -> None:
    """Stored once, with the forget gate open and the input gate shut since, it is read by a query like its key."""
    size = HIDDEN // HEADS
    key, other, value = jnp.eye(size)[0], jnp.eye(size)[1], jnp.array([1.0, -2.0, 3.0])

    def units(q: jax.Array, k: jax.Array, z_i: float) -> jax.Array:
        """The projected input with these queries and keys; output and forget gates are open."""
        per_unit = [jnp.tile(part, HEADS) for part in (q, k, value)]
        return jnp.concatenate(
            [*per_unit, jnp.full(HIDDEN, 20.0), jnp.full(HEADS, z_i), jnp.full(HEADS, 20.0)]
        )

    zs = jnp.stack([units(key, key, 20.0), *[units(other, other, -20.0)] * 5, units(key, other, -20.0)])
    identity = MLSTMParams(jnp.eye(zs.shape[1]), jnp.zeros(zs.shape[1]), PARAMS.scale)
    _, hs = jitted(identity, mlstm_carry(identity, 1), zs[:, None])
    normalized = value / jnp.sqrt((value**2).mean())
    np.testing.assert_allclose(hs[-1, 0].reshape(HEADS, size), jnp.tile(normalized, (HEADS, 1)), rtol=1e-4)
    assert abs(hs[3]).max() < 1e-2  # under another key there is nothing


def test_a_long_sequence_neither_overflows_nor_loses_its_gradient() -> None:
    xs = jnp.tile(3 * XS, (1000, 1, 1))

    @jax.jit
    @jax.value_and_grad
    def loss(params: MLSTMParams) -> jax.Array:
        return (mlstm(params, EMPTY, xs)[1] ** 2).mean()

    value, gradient = loss(PARAMS)
    assert all(jnp.isfinite(leaf).all() for leaf in (value, *gradient))
    assert all(abs(leaf).max() > 1e-6 for leaf in gradient)


def test_nothing_passes_a_reset_not_even_what_is_not_a_number() -> None:
    resets = jnp.zeros((TIME, BATCH), bool).at[4].set(True)
    broken = MLSTMCarry(jnp.full_like(EMPTY.c, jnp.nan))
    first = jnp.zeros((TIME, BATCH), bool).at[0].set(True)
    assert_close(jitted(PARAMS, broken, XS, resets=first), jitted(PARAMS, EMPTY, XS))
    _, hs = jitted(PARAMS, FIRST, XS, resets=resets)
    _, expected = jitted(PARAMS, EMPTY, XS[4:])
    assert_close(hs[4:], expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_everything_has_the_type_of_the_arguments(dtype: Any) -> None:
    params = init_mlstm(jax.random.key(0), INPUT, HIDDEN, HEADS, dtype)
    carry, xs = mlstm_carry(params, BATCH), XS.astype(dtype)
    outputs, pull = jax.eval_shape(partial(jax.vjp, mlstm), params, carry, xs)
    cotangents = jax.eval_shape(lambda pull, outputs: pull(outputs), pull, outputs)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, cotangents))} == {jnp.dtype(dtype)}


def test_the_gates_that_are_shown_are_those_of_the_step() -> None:
    after, h = mlstm_step(PARAMS, FIRST, XS[0])
    gates = mlstm_gates(PARAMS, FIRST, XS[0])
    assert {name: values.shape for name, values in gates.items()} == dict.fromkeys("ifohc", (BATCH, HIDDEN))
    np.testing.assert_allclose(gates["h"], h, rtol=1e-5, atol=1e-6)
    columns = jnp.linalg.norm(after.c.reshape(BATCH, HEADS, 3, 3), axis=2).reshape(BATCH, HIDDEN)
    np.testing.assert_allclose(gates["c"], columns, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("carry", "xs", "message"),
    [
        (EMPTY, XS[0], r"xs must be \[time, batch, input\], got shape \(2, 3\)"),
        (EMPTY, XS[..., :2], r"xs has 2 features, but w_x \(3, 28\) takes 3"),
        (MLSTMCarry(EMPTY.c[:, :5]), XS, r"the carry must be \[batch=2, hidden=18\], got shape \(2, 5\)"),
        (EMPTY, XS.astype(jnp.bfloat16), "xs is bfloat16 and the carry float32"),
    ],
)
def test_what_does_not_fit_is_refused(carry: MLSTMCarry, xs: jax.Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mlstm(PARAMS, carry, xs)


def test_heads_that_cannot_share_the_units_are_refused() -> None:
    with pytest.raises(ValueError, match="4 heads can't share 6 units"):
        init_mlstm(jax.random.key(0), INPUT, HIDDEN, heads=4)
