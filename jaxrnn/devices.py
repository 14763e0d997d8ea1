"""How many devices share a batch, and the layout of arrays over them.

Data parallelism on JAX's own terms: one `jit` over a mesh, parameters on every device, each device with its own rows of
the batch and of the carry; the compiler adds the gradients up. The backward passes need no change for it.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrnn.config import Config, DropoutConfig, TrainConfig
from jaxrnn.errors import ConfigError

_Tree = TypeVar("_Tree")

_WIDE = 512  # units; no gain of two CPU devices over one was measured at this width or above


def choose_cpu_devices(config: Config) -> int:
    """How many devices to split a CPU into (`jax_num_cpu_devices`), to be set before JAX starts.

    `train.devices` where it is given. Else two where there are two cores, the batch is even and every recurrent layer
    is narrower than 512: what surrounds the products of a step, small operations one after the other, keeps one core
    busy; of half a batch each, it keeps two. For wider layers a step's products read weights that no longer fit in a
    core's cache, and two devices read them twice. Measured on two cores, one device's time over two's: 1.25 at 256
    units, 1.2 at 384, 1.0 at 512, 0.8 at 1024.

    Raises:
        ConfigError: `train.devices` does not divide `train.batch_size`.
    """
    if config.train.devices:
        _check_divides(config.train)
        return config.train.devices
    is_narrow = all(
        (layer.size or 0) < _WIDE for layer in config.model.layers if not isinstance(layer, DropoutConfig)
    )
    return 2 if (os.cpu_count() or 1) >= 2 and config.train.batch_size % 2 == 0 and is_narrow else 1


def training_mesh(config: TrainConfig) -> Mesh:
    """The devices that share the batch: `train.devices` of them, or as many as there are and divide the batch.

    Raises:
        ConfigError: `train.devices` does not divide `train.batch_size`, or there are fewer.
    """
    devices = jax.devices()
    if config.devices > len(devices):
        raise ConfigError(
            f"train.devices is {config.devices}, but JAX sees {len(devices)}; lower it, or 0 to choose automatically"
        )
    if config.devices:
        _check_divides(config)
    count = config.devices or max(n for n in range(1, len(devices) + 1) if config.batch_size % n == 0)
    return Mesh(np.array(devices[:count]), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))


def _check_divides(config: TrainConfig) -> None:
    if remainder := config.batch_size % config.devices:
        below = config.batch_size - remainder
        near = f"{below} or {below + config.devices}" if below else f"{config.devices}"
        raise ConfigError(
            f"train.batch_size {config.batch_size} can't be shared by train.devices {config.devices}: "
            f"use a batch_size of {near}"
        )


def replicate(mesh: Mesh, tree: _Tree) -> _Tree:
    """A copy of every array on every device of the mesh."""
    return cast("_Tree", jax.device_put(tree, _layout(mesh)))


def split_rows(mesh: Mesh, tree: _Tree, axis: int = 0) -> _Tree:
    """Share every array out along its batch axis, where the number of rows allows it; inside `jit` or outside."""

    def put(leaf: jax.Array) -> Any:
        is_even = leaf.shape[axis] % mesh.size == 0
        return jax.device_put(leaf, _layout(mesh, *[None] * axis, "batch") if is_even else _layout(mesh))

    return cast("_Tree", jax.tree.map(put, tree))


def place_rows(
    mesh: Mesh,
    shape: tuple[int, ...],
    read: Callable[[Any], "np.ndarray[Any, Any]"],
    axis: int = 0,
) -> jax.Array:
    """An array whose rows are shared out as `split_rows` does it, of which each process reads only its own.

    Args:
        mesh: the devices.
        shape: of the whole array.
        read: from slices of the whole array to what stands there.
        axis: the batch axis.
    """
    is_even = shape[axis] % mesh.size == 0
    layout = _layout(mesh, *[None] * axis, "batch") if is_even else _layout(mesh)
    return jax.make_array_from_callback(shape, layout, read)


def _layout(mesh: Mesh, *axes: str | None) -> NamedSharding:
    specification: Any = PartitionSpec  # has no types
    return NamedSharding(mesh, specification(*axes))
