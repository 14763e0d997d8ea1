"""Products equal `xs @ w` for either operand order and type of weights."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers import product as module
from jaxrnn.layers.product import (
    loop_product,
    matmul,
    product,
    products_by_head,
    weight_gradient,
    weight_gradients_by_head,
)


def draw(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize("large", [1, 2**30], ids=["weights on the left", "weights on the right"])
@pytest.mark.parametrize("shape", [(3, 5, 20), (1, 1, 4), (2, 7, 1)])
def test_a_loop_gives_equal_products_for_either_operand_order(
    monkeypatch: pytest.MonkeyPatch, large: int, shape: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(module, "_LARGE", large)
    xs, w = draw(shape[0], shape[1]), draw(shape[1], shape[2])
    np.testing.assert_allclose(
        jax.jit(lambda xs, w: loop_product(w)(xs))(xs, w), xs @ w, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_large_weights_are_the_left_operand_on_a_cpu_and_small_ones_the_right(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def first_operand(w: jax.Array) -> str:
        traced = jax.jit(lambda xs, w: loop_product(w)(xs)).trace(draw(2, 3), w)
        program = traced.lower(lowering_platforms=(platform,)).as_text()
        (operands,) = re.findall(r"dot_general .* : \((.*?),", program)
        return operands

    assert first_operand(draw(3, 8)) == "tensor<2x3xf32>"
    monkeypatch.setattr(module, "_LARGE", 24)
    assert first_operand(draw(3, 8)) == ("tensor<8x3xf32>" if platform == "cpu" else "tensor<2x3xf32>")
    assert first_operand(draw(3, 7)) == "tensor<2x3xf32>"


def test_a_weight_gradient_is_summed_over_all_positions() -> None:
    xs, d_ys, w = draw(4, 3, 5), draw(4, 3, 2), draw(5, 2)
    expected = sum(np.outer(xs[t, b], d_ys[t, b]) for t in range(4) for b in range(3))
    np.testing.assert_allclose(weight_gradient(xs, d_ys, w), expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_weights_round_only_the_inputs() -> None:
    xs, w = draw(6, 300), draw(300, 4).astype(jnp.bfloat16)
    ys = product(xs, w)
    assert ys.dtype == jnp.float32
    rounded = np.asarray(xs.astype(jnp.bfloat16), np.float64)
    np.testing.assert_allclose(ys, rounded @ np.asarray(w, np.float64), rtol=1e-4, atol=1e-4)
    # Sums in bfloat16 would have a larger error.
    assert not np.allclose(ys, ys.astype(jnp.bfloat16), rtol=1e-4, atol=1e-4)
    assert weight_gradient(xs, ys, w).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("dtype", "chosen", "expected"),
    [
        (jnp.float32, None, "HIGHEST"),
        (jnp.float32, "tensorfloat32", "HIGH"),
        (jnp.float32, "bfloat16", "DEFAULT"),
        (jnp.bfloat16, None, "DEFAULT"),
    ],
)
def test_float32_is_multiplied_in_full_precision_unless_jax_is_told_otherwise(
    dtype: jnp.dtype, chosen: str | None, expected: str
) -> None:
    def products(xs: jax.Array, w: jax.Array) -> tuple[jax.Array, ...]:
        rows, ys = xs.reshape(2, 3, 2, 3), product(xs, w[0])
        return (
            ys,
            loop_product(w[0])(xs),
            weight_gradient(xs, ys, w[0]),
            matmul(w, w),
            products_by_head(rows, w),
            weight_gradients_by_head(rows, rows, w),
        )

    with jax.default_matmul_precision(chosen):
        program = (
            jax.jit(products).lower(draw(6, 6)[:, :3].repeat(2, 0), draw(2, 3, 3).astype(dtype)).as_text()
        )
    dots = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    assert len(dots) == 6
    assert all(f"precision = [{expected}, {expected}]" in line for line in dots)
