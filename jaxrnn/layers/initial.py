"""What recurrent weights begin as."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxrnn.types import Array, Key


def orthogonal(key: Key, size: int, dtype: DTypeLike) -> Array:
    """A random orthogonal matrix `[size, size]`: norms neither grow nor shrink at first (Saxe et al., 2014).

    Drawn in float32 at least, as no factorisation is made for shorter types, and rounded then.
    """
    wide = dtype if jnp.dtype(dtype).itemsize >= 4 else jnp.float32
    return jax.nn.initializers.orthogonal()(key, (size, size), wide).astype(dtype)
