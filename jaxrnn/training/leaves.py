"""The leaves of a training state: host arrays by name ("params.1.w_x"), and the way back into the pytree.

So written, a checkpoint knows nothing of devices or Python types: what eight GPUs saved, one CPU loads. A part of
a state, "params" say, is the leaves whose names begin with it; "" is all of them.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Leaves = dict[str, np.ndarray[Any, Any]]


def to_leaves(state: Any) -> Leaves:
    """Copies a state to the host; a typed random key becomes the integers it is made of."""
    leaves = jax.device_get(name_leaves(state))
    # np.array copies: on the CPU, device_get hands out the very buffer that the caller goes on to use.
    return {name: np.array(leaf) for name, leaf in leaves.items()}


def name_leaves(state: Any) -> dict[str, Any]:
    """Returns the arrays of a state by name, where they are; a typed random key as the integers it is made of."""
    paths, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(path, ""): _as_data(leaf) for path, leaf in paths}


def from_leaves(leaves: Mapping[str, np.ndarray[Any, Any]], abstract: Any, part: str = "") -> Any:
    """Returns a pytree like `abstract`, a part of a state, with these leaves; `to_leaves` the other way round.

    Its arrays are on the default device but not committed to it: a computation may still take them to another.

    Raises:
        KeyError: a leaf is missing.
    """

    def restore(path: Any, leaf: Any) -> Any:
        data = jnp.array(leaves[_name(path, part)])
        return _as_key(data, leaf) if _is_key(leaf) else data

    return jax.tree_util.tree_map_with_path(restore, abstract)


def abstract_leaves(abstract: Any, part: str = "") -> dict[str, Any]:
    """Returns by name what has the shapes and dtypes of the leaves that this part of a state is saved as."""
    paths, _ = jax.tree_util.tree_flatten_with_path(abstract)
    return {
        _name(path, part): jax.eval_shape(_as_data, leaf) if _is_key(leaf) else leaf for path, leaf in paths
    }


def is_in(name: str, part: str) -> bool:
    """Whether the leaf of this name belongs to this part of a state."""
    return not part or name == part or name.startswith(f"{part}.")


def _name(path: Any, part: str) -> str:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return ".".join(filter(None, (part, name)))


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as_key(data: jax.Array, like: Any) -> jax.Array:
    """The typed random key made of these integers, of the kind that `like` is, which may be abstract."""
    kinds: list[Any] = []
    jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), like)  # key_impl wants no abstract key
    key: jax.Array = jax.random.wrap_key_data(data, impl=kinds[0])
    return key
