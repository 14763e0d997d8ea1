"""The time loop, in both of its forms: outputs take the place of inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers import time_loop as module
from jaxrnn.layers.time_loop import blank, time_loop

XS = jnp.arange(1.0, 13.0).reshape(6, 2)


@pytest.fixture(autouse=True, params=["in place", "unrolled"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in the form of the loop for CPUs and TPUs, and in that for GPUs."""
    if request.param == "unrolled":
        monkeypatch.setattr(module, "_in_place", module._unrolled)


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


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda", "rocm"])
def test_a_gpu_takes_eight_steps_in_a_row(request: pytest.FixtureRequest, platform: str) -> None:
    def run(zs: jax.Array) -> jax.Array:
        return time_loop(lambda h, _, z: (h + z, z), zs[0], None, zs)[0]

    zs = jax.ShapeDtypeStruct((160, 3), jnp.float32)
    program = jax.jit(run).trace(zs).lower(lowering_platforms=(platform,)).as_text()
    is_unrolled = platform in ("cuda", "rocm") or "unrolled" in request.node.name
    assert ("tensor<20x8x3xf32>" in program) is is_unrolled
