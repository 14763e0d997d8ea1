"""The linear recurrence: loop and associative scan agree, and long sequences stay finite in linear memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import linear_scan
from jaxrnn.gradcheck import check_gradients
from jaxrnn.layers import linear_scan as module
from jaxrnn.layers.linear_scan import scan_in_parallel, scan_in_sequence

BATCH, HIDDEN = 2, 3


def drawn(length: int, dtype: Any = jnp.float32) -> tuple[jax.Array, ...]:
    """Factors in (0, 1), terms, a carry and resets."""
    rng = np.random.default_rng(length)
    a, b, h = rng.random((length, BATCH, HIDDEN)), rng.standard_normal((length, BATCH, HIDDEN)), rng.random(1)
    return (
        jnp.asarray(a, dtype),
        jnp.asarray(b, dtype),
        jnp.full((BATCH, HIDDEN), h.item(), dtype),
        jnp.asarray(rng.random((length, BATCH)) < 0.2),
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("with_resets", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 64])
def test_the_associative_scan_equals_the_loop(length: int, with_resets: bool, reverse: bool) -> None:
    with jax.enable_x64(True):
        a, b, h, resets = drawn(length, jnp.float64)
        arguments = a, b, h, resets if with_resets else None
        found, expected = jax.jit(
            lambda *given: [scan(*given, reverse=reverse) for scan in (scan_in_parallel, scan_in_sequence)]
        )(*arguments)
        for pair in zip(found, expected, strict=True):
            np.testing.assert_allclose(*pair, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", ["linear_scan", "min_gru", "min_lstm", "rg_lru"])
def test_gradients_of_the_associative_scan_agree_with_three_oracles(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def in_parallel(*arguments: Any, reverse: bool) -> Any:
        used.append(reverse)
        return scan_in_parallel(*arguments, reverse=reverse)

    monkeypatch.setattr(module, "scan_in_sequence", in_parallel)  # what a CPU runs
    assert [check for check in check_gradients(layer) if not check.passed] == []
    assert {False, True} <= set(used)


def test_the_platform_decides_at_lowering() -> None:
    a, b, h, _ = drawn(64)
    exported = {
        platform: jax.export.export(jax.jit(linear_scan), platforms=[platform])(a, b, h).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert ["stablehlo.while" in exported[platform] for platform in exported] == [True, False, False]


@pytest.mark.parametrize("scan", [scan_in_sequence, scan_in_parallel])
def test_a_reset_clears_a_state_of_nan(scan: Any) -> None:
    a, b, h, _ = drawn(5)
    resets = jnp.zeros((5, BATCH), bool).at[2].set(True)
    _, hs = jax.jit(scan)(a, b.at[1].set(jnp.nan), h, resets)
    assert np.isnan(hs[1]).all()
    np.testing.assert_array_equal(hs[2], b[2])
    assert np.isfinite(hs[2:]).all()


@pytest.mark.parametrize("scan", [scan_in_sequence, scan_in_parallel])
def test_a_sequence_of_100_000_steps_has_the_closed_form(scan: Any) -> None:
    """With a constant factor and term, h_t = a^t h_0 + (1 - a^t) / (1 - a) b: products of the factors underflow."""
    steps, a, b, h_0 = 100_000, 0.999, 0.5, 3.0
    ones = jnp.ones((steps, 1, 1))
    _, hs = jax.jit(scan)(a * ones, b * ones, jnp.full((1, 1), h_0), None)
    power = np.float64(a) ** np.arange(1, steps + 1)
    np.testing.assert_allclose(hs.ravel(), power * h_0 + (1 - power) / (1 - a) * b, rtol=2e-4)


@pytest.mark.parametrize("scan", [scan_in_sequence, scan_in_parallel])
def test_the_gradient_of_100_000_steps_needs_less_memory_than_eight_sequences(
    scan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "scan_in_sequence", scan)  # what a CPU runs
    sequence = jax.ShapeDtypeStruct((100_000, BATCH, HIDDEN), jnp.float32)
    carry = jax.ShapeDtypeStruct((BATCH, HIDDEN), jnp.float32)

    def loss(a: jax.Array, b: jax.Array, h: jax.Array) -> jax.Array:
        return (linear_scan(a, b, h)[1] ** 2).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(sequence, sequence, carry).compile()
    working_memory = compiled.memory_analysis().temp_size_in_bytes  # type: ignore[union-attr]
    assert 0 < working_memory < 8 * sequence.size * 4


def test_arguments_that_do_not_fit_are_refused_by_their_shapes() -> None:
    a, b, h, resets = drawn(5)
    for wrong in ((a[:4], b, h), (a, b, h[:1]), (a[0], b[0], h)):
        with pytest.raises(ValueError, match=r"linear_scan: a and b must be \[time, batch, hidden\]"):
            linear_scan(*wrong)
    with pytest.raises(ValueError, match=r"linear_scan: resets must be bool \[time, batch\]"):
        linear_scan(a, b, h, resets.T)
