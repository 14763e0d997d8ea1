"""The precision of matrix products in training; everything else is float32.

`train.precision = "tf32"` lets an NVIDIA GPU round the factors of products to 11 significant bits (TF32); a TPU adds up
three products in bfloat16 instead, and a CPU multiplies in float32. `"float32"` is float32 on all of them.

`train.precision = "bfloat16"` rounds the weights of every product before a batch is read, and with them the rows they
multiply; products are summed up in float32 (`layers/product.py`). The master weights, biases, embedding table, carry,
cells, loss and optimizer stay in float32. A weight's gradient goes through the same rounding on its way back: 8
significant bits, summed up in 24.
"""

from contextlib import AbstractContextManager, nullcontext

import jax
import jax.numpy as jnp

from jaxrnn.types import Array, Params


def products_in(precision: str) -> AbstractContextManager[object]:
    """Return a context in which products are traced; `"tf32"` makes them TF32 where they would be float32."""
    if precision != "tf32":
        return nullcontext()
    context: AbstractContextManager[object] = jax.default_matmul_precision("tensorfloat32")
    return context


def round_weights(params: Params, precision: str) -> Params:
    """Return the parameters with the weights of matrix products, the fields named `w...`, cast to `precision`.

    Args:
        params: from `models.stack.init`.
        precision: `"bfloat16"`; `"float32"` and `"tf32"` change nothing.
    """
    if precision != "bfloat16":
        return params

    def cast(path: tuple[jax.tree_util.GetAttrKey, ...], leaf: Array) -> Array:
        return leaf.astype(jnp.bfloat16) if path[-1].name.startswith("w") else leaf

    return jax.tree_util.tree_map_with_path(cast, params)
