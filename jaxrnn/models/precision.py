"""Mixed precision: matrix products in bfloat16, everything else in float32.

`train.precision = "bfloat16"` rounds the weights of every product before a batch is read, and with them the rows they
multiply; products are summed up in float32 (`layers/product.py`). The master weights, biases, embedding table, carry,
cells, loss and optimizer stay in float32. A weight's gradient goes through the same rounding on its way back: 8
significant bits, summed up in 24.
"""

import jax
import jax.numpy as jnp

from jaxrnn.types import Array, Params


def round_weights(params: Params, precision: str) -> Params:
    """Return the parameters with the weights of matrix products, the fields named `w...`, cast to `precision`.

    Args:
        params: from `models.stack.init`.
        precision: `"float32"`, which changes nothing, or `"bfloat16"`.
    """
    if precision == "float32":
        return params

    def cast(path: tuple[jax.tree_util.GetAttrKey, ...], leaf: Array) -> Array:
        return leaf.astype(jnp.dtype(precision)) if path[-1].name.startswith("w") else leaf

    return jax.tree_util.tree_map_with_path(cast, params)
