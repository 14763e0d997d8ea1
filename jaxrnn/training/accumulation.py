"""The mean gradient of several batches, which devices exchange once (`train.accumulate_steps`).

Each device adds up the gradients of its own rows, batch after batch, in sums of its own; only these are added up over
devices. To the compiler, a sum is an array with one more axis in front, as long as there are devices, and shared out
along it: what it adds to such an array, it need not send anywhere.

    sums    [devices, ...]    += gradients [devices, ...]         at each batch, on every device alone
    mean    [...]             = sums over devices / count         once

Which mask dropout draws for a row follows from the number of the row, so that it does not depend on how many devices
there are.
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
    """The mean over batches `first`, `first + 1`, ..., `count` of them, each with the carry that the one before left.

    Args:
        differentiate: the loss of one batch and its gradient; called on each device's rows alone.
        read: a batch, `[batch, time]`.
        params: what the gradient is taken with respect to.
        carry: before the first batch, `[batch, ...]` each.
        key: for dropout; of each batch and row its own is made of it.
        first: the number of the first batch, an integer scalar.
        count: how many batches.
        mesh: the devices that share each batch; None for one.

    Returns:
        The mean loss and the carry after the last batch; and the mean gradient.
    """
    devices = 1 if mesh is None else mesh.size

    def on_devices(tree: Any) -> Any:
        return tree if mesh is None else split_rows(mesh, tree)

    def share_out(tree: Any) -> Any:
        """Rows `[batch, ...]` as `[devices, rows, ...]`."""
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
