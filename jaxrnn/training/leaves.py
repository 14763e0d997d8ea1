"""Conversion of a training state to host arrays by name ("params.1.w_x"), and back.

In this form a checkpoint does not depend on devices or Python types: a state saved by 8 GPUs loads on one CPU. A part
of a state, such as "params", has the leaves whose names begin with it; "" is the whole state.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Leaves = dict[str, np.ndarray[Any, Any]]


def to_leaves(state: Any) -> Leaves:
    """Return the arrays of a state by name, on the host; typed random keys become integers.

    On the CPU they share memory with the state, which must not be donated while they are in use.
    """
    paths, _ = jax.tree_util.tree_flatten_with_path(state)
    leaves: Leaves = jax.device_get({_name(path, ""): _as_data(leaf) for path, leaf in paths})
    return leaves


def from_leaves(leaves: Mapping[str, np.ndarray[Any, Any]], abstract: Any, part: str = "") -> Any:
    """Return a pytree with the structure of `abstract` and these leaves; the inverse of `to_leaves`.

    The arrays are on the default device but not committed to it, so JAX may move them to another.

    Raises:
        ValueError: A leaf of this part is missing, unexpected, or has another shape or dtype.
    """
    paths, tree = jax.tree_util.tree_flatten_with_path(abstract)
    asked = {_name(path, part): leaf for path, leaf in paths}
    # eval_shape only for keys: without x64 it would turn the int64 of a NumPy array into int32.
    like = {name: jax.eval_shape(_as_data, leaf) if _is_key(leaf) else leaf for name, leaf in asked.items()}
    there = {name: leaf for name, leaf in leaves.items() if is_in(name, part)}
    for name in sorted(there.keys() | like.keys()):
        found, wanted = _describe(there.get(name)), _describe(like.get(name))
        if found != wanted:
            raise ValueError(f"{name} is {found}, expected {wanted}")
    return jax.tree.unflatten(tree, [_like(jnp.array(there[name]), leaf) for name, leaf in asked.items()])


def is_in(name: str, part: str) -> bool:
    """Return whether the leaf of this name belongs to this part of a state."""
    return not part or name == part or name.startswith(f"{part}.")


def _name(path: Any, part: str) -> str:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return ".".join(filter(None, (part, name)))


def _describe(leaf: Any) -> str:
    return "absent" if leaf is None else f"{leaf.dtype.name}{list(leaf.shape)}"


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(data: jax.Array, like: Any) -> jax.Array:
    """Return `data`, converted to a typed random key if `like` is one; `like` may be abstract."""
    if not _is_key(like):
        return data
    kinds: list[Any] = []
    jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), like)  # key_impl takes no abstract key
    key: jax.Array = jax.random.wrap_key_data(data, impl=kinds[0])
    return key
