"""Gradient accumulation (`train.accumulate_steps`): devices exchange the mean gradient of several batches once.

Each device sums the gradients of its own rows over the batches; only the sums are reduced over devices. In JAX, the
sums are one array with a leading device axis, sharded along it, so that adding to it needs no communication.

    sums    [devices, ...]    += gradients [devices, ...]         per batch, without communication
    mean    [...]             = sums over devices / count         once

The dropout mask of a row depends on the number of the row, not on the number of devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrnn.parallel.devices import split_rows
from jaxrnn.types import Array, Carry, Key, Params

Read = Callable[[Array, Carry], tuple[Array, Array, Carry]]  # batch number, carry -> inputs, targets, carry
# (params, carry, inputs, targets, dropout keys) -> ((mean loss, carry), gradients)
Differentiate = Callable[[Params, Carry, Array, Array, Key], tuple[tuple[Array, Carry], Params]]


def mean_gradient(
    differentiate: Differentiate,
    read: Read,
    params: Params,
    carry: Carry,
    key: Key,
    first: Array,
    count: int,
    mesh: Mesh | None = None,
) -> tuple[tuple[Array, Carry], Params]:
    """Return mean loss and gradient over `count` batches from number `first`; the carry passes from batch to batch.

    Args:
        differentiate: Returns the loss of one batch and its gradient; called on the rows of each device separately.
        read: Returns a batch, `[batch, time]`.
        params: The parameters that the gradient is taken with respect to.
        carry: The carry before the first batch, `[batch, ...]` each.
        key: Random key for dropout; each batch and row folds in its number.
        first: The number of the first batch, an integer scalar.
        count: The number of batches.
        mesh: The devices that share each batch; None: one device.

    Returns:
        The mean loss and the carry after the last batch; and the mean gradient.
    """
    devices = 1 if mesh is None else mesh.size

    def on_devices(tree: Any) -> Any:
        return tree if mesh is None else split_rows(mesh, tree)

    def share_out(tree: Any) -> Any:
        """Reshape `[batch, ...]` to `[devices, rows, ...]`."""
        return on_devices(jax.tree.map(lambda leaf: leaf.reshape(devices, -1, *leaf.shape[1:]), tree))

    def add(index: Array, sums: tuple[Carry, Array, Params]) -> tuple[Carry, Array, Params]:
        carry, loss, gradient = sums
        number = first + index.astype(first.dtype)
        inputs, targets, carry = read(number, carry)
        rows = jnp.arange(inputs.shape[0], dtype=jnp.uint32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, number), rows)
        (losses, carry), gradients = jax.vmap(differentiate, (None, 0, 0, 0, 0))(
            params, share_out(carry), share_out(inputs), share_out(targets), share_out(keys)
        )
        carry = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), carry)
        return carry, *on_devices(jax.tree.map(jnp.add, (loss, gradient), (losses, gradients)))

    nothing = on_devices(
        (
            jnp.zeros((devices,), jnp.float32),
            jax.tree.map(lambda leaf: jnp.zeros((devices, *leaf.shape), leaf.dtype), params),
        )
    )
    carry, loss, gradient = jax.lax.fori_loop(0, count, add, (carry, *nothing))
    loss, gradient = jax.tree.map(lambda leaf: leaf.sum(0) / (count * devices), (loss, gradient))
    return (loss, carry), gradient
