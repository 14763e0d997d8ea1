"""The time loop: a scan that may overwrite its inputs with its outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers.time_loop import blank, time_loop

XS = jnp.arange(1.0, 13.0).reshape(6, 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_it_equals_a_scan(reverse: bool) -> None:
    def step(carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        carry = 0.5 * carry + x
        return carry, carry * x

    zero = jnp.zeros(2)
    expected = jax.lax.scan(step, zero, XS, reverse=reverse)
    found = time_loop(lambda carry, x, _: step(carry, x), zero, XS, blank(6, zero), reverse=reverse)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reverse", [False, True])
def test_overwritten_inputs_are_read_first(reverse: bool) -> None:
    sums = jnp.cumsum(XS[::-1], axis=0)[::-1] if reverse else jnp.cumsum(XS, axis=0)
    carry, ys = time_loop(lambda total, _, y: (total + y, total + y), jnp.zeros(2), None, XS, reverse=reverse)
    np.testing.assert_array_equal(ys, sums)
    np.testing.assert_array_equal(carry, XS.sum(axis=0))
