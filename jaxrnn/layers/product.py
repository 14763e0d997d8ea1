"""Matrix products: how every layer multiplies.

    forward     Y = X W                                 X holds a row for each position

    backward    dX = dY W^T                             a product again, by the transposed weights
                dW = sum over positions of x^T dy       one product over all positions at once

Mixed precision hangs on the type of the weights alone: rows are rounded to it, products are summed up in the type of
the rows, and the result has that type. Weights in bfloat16 and all else in float32 is what `train.precision =
"bfloat16"` means.

By default JAX lets an NVIDIA GPU round float32 factors to 11 of their 24 bits (TF32), and a TPU to 8. Here float32 is
float32, unless JAX is told otherwise (`jax.default_matmul_precision`, `train.precision`).

Step by step: docs/maths.md, section 11.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.types import Array

# From this many weights on (4 MB in float32) copying them at every step costs a CPU more than turning rows and result.
_LARGE = 2**20

_barrier: Any = lax.optimization_barrier  # it has no types


def product(xs: Array, w: Array) -> Array:
    """`xs @ w`, rounded as `w` is and summed up as `xs` are: `[..., n]` times `[n, m]` is `[..., m]`."""
    return _multiply(xs.astype(w.dtype), w, (((xs.ndim - 1,), (0,)), ((), ())), xs.dtype)


def matmul(a: Array, b: Array) -> Array:
    """`a @ b` of arrays that are no weights: `[..., n, k]` times `[..., k, m]` is `[..., n, m]`."""
    return jnp.matmul(a, b, precision=_precision(a))


def loop_product(w: Array) -> Callable[[Array], Array]:
    """The function `product(_, w)` for the body of a loop over time, `[batch, n]` to `[batch, m]`.

    A step multiplies few rows by many weights. As the right operand of a product on a CPU, weights are copied into
    another layout first, at every step; as the left operand they are read where they lie. For large ones that is worth
    turning the rows and the result around: X W = (W^T X^T)^T. The barriers keep the compiler from undoing it. Where a
    program is made for several kinds of devices at once, each kind gets what suits it.
    """
    if w.size < _LARGE:
        return lambda xs: product(xs, w)
    turned = _barrier(w.T)

    def by_columns(xs: Array, _w: Array, turned: Array) -> Array:
        columns: Array = _barrier(_multiply(turned, xs.astype(w.dtype).T, (((1,), (0,)), ((), ())), xs.dtype))
        result: Array = _barrier(columns.T)
        return result

    def by_rows(xs: Array, w: Array, _turned: Array) -> Array:
        return product(xs, w)

    def multiply(xs: Array) -> Array:
        result: Array = lax.platform_dependent(xs, w, turned, cpu=by_columns, default=by_rows)
        return result

    return multiply


def weight_gradient(xs: Array, d_ys: Array, w: Array) -> Array:
    """dW, the sum of x^T dy over all positions: xs `[..., n]`, d_ys `[..., m]` to `[n, m]`, of the type of `w`.

    The positions are summed up as they lie: were they merged into one axis first, then a batch that devices share would
    have to be gathered.
    """
    positions = tuple(range(xs.ndim - 1))
    contracted = ((positions, positions), ((), ()))
    return _multiply(xs.astype(w.dtype), d_ys.astype(w.dtype), contracted, d_ys.dtype).astype(w.dtype)


def products_by_head(xs: Array, w: Array) -> Array:
    """`product(xs_h, w_h)` for each head h: `[..., heads, n]` times `[heads, n, m]` is `[..., heads, m]`."""
    axis = xs.ndim - 2
    ys = _multiply(xs.astype(w.dtype), w, (((axis + 1,), (1,)), ((axis,), (0,))), xs.dtype)
    return jnp.moveaxis(ys, 0, axis)


def weight_gradients_by_head(xs: Array, d_ys: Array, w: Array) -> Array:
    """`weight_gradient` for each head: xs `[..., heads, n]`, d_ys `[..., heads, m]` to `[heads, n, m]`."""
    axis = xs.ndim - 2
    positions = tuple(range(axis))
    contracted = ((positions, positions), ((axis,), (axis,)))
    return _multiply(xs.astype(w.dtype), d_ys.astype(w.dtype), contracted, d_ys.dtype).astype(w.dtype)


def _multiply(a: Array, b: Array, dimensions: Any, dtype: Any) -> Array:
    return lax.dot_general(a, b, dimensions, precision=_precision(a), preferred_element_type=dtype)


def _precision(factor: Array) -> lax.Precision | None:
    """Full precision for float32, unless JAX was told which; float64 and bfloat16 have only one."""
    chosen = getattr(jax.config, "jax_default_matmul_precision")  # noqa: B009  JAX declares no types here
    return lax.Precision.HIGHEST if factor.dtype == jnp.float32 and chosen is None else None
