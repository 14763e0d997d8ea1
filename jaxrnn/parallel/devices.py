"""How many devices share a batch, and the layout of arrays over them.

Data parallelism on JAX's own terms: one `jit` over a mesh, parameters on every device, each device with its own rows of
the batch and of the carry; the compiler adds the gradients up. The backward passes need no change for it.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrnn.config import Config, LayerConfig, TrainConfig
from jaxrnn.errors import ConfigError
from jaxrnn.parallel.jax_internals import is_traced
from jaxrnn.parallel.processes import count as count_processes

_Tree = TypeVar("_Tree")

_WIDE = 512  # units; no gain of two CPU devices over one was measured at this width or above


def choose_cpu_devices(config: Config, processes: int = 1) -> int:
    """How many devices to split a CPU into (`jax_num_cpu_devices`), to be set before JAX starts.

    `train.num_devices` where it is given. Otherwise two on a machine with two cores or more, if the batch is even and
    every recurrent layer has fewer than 512 units: the small operations around the products of a step keep one core
    busy, and those of two half batches keep two. The products of wider layers read weights that no longer fit in a
    core's cache, and two devices read them twice. Measured on two cores, one device's time over two's: 1.25 at 256
    units, 1.2 at 384, 1.0 at 512, 0.8 at 1024.

    Args:
        config: the run's.
        processes: how many processes share the batch; each has so many devices.

    Raises:
        ConfigError: they can't share `train.batch_size`.
    """
    if config.train.num_devices:
        _check_divides(config.train, config.train.num_devices * processes, processes)
        return config.train.num_devices
    is_narrow = _widest(config.model.layers) < _WIDE
    is_even = config.train.batch_size % (2 * processes) == 0
    return 2 if _usable_cores() >= 2 and is_even and is_narrow else 1


def _widest(layers: Sequence[LayerConfig]) -> int:
    """Return the largest size of a layer, those inside of residual layers included."""
    sizes = (_widest(getattr(layer, "layers", ())) or getattr(layer, "size", None) or 0 for layer in layers)
    return max(sizes, default=0)


def _usable_cores() -> int:
    """How many cores this process may run on: `taskset` and containers leave it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split_cpu(config: Config) -> None:
    """Have JAX split a CPU into as many devices as `choose_cpu_devices` says, unless JAX runs already or was told.

    Raises:
        ConfigError: They can't share `train.batch_size`.
    """
    count = choose_cpu_devices(config, count_processes())
    is_told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices < 0 and not is_told:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):  # JAX runs already, with the devices it has
            jax.config.update("jax_num_cpu_devices", count)  # type: ignore[no-untyped-call]


def training_mesh(config: TrainConfig) -> Mesh:
    """Return the mesh of devices that share the batch.

    These are `train.num_devices` of each process, or as many as there are and divide the batch.

    Several processes, which may run on machines of their own, use all devices of all processes unless
    `train.num_devices` is given.

    Raises:
        ConfigError: they can't share `train.batch_size`, or there are fewer than `train.num_devices`.
    """
    ours = [jax.local_devices(process) for process in range(jax.process_count())]
    fewest = min(map(len, ours))
    if config.num_devices > fewest:
        raise ConfigError(
            f"train.num_devices is {config.num_devices}, but JAX sees {fewest}; lower it, or 0 to choose automatically"
        )
    if len(ours) > 1 or config.num_devices:
        devices = [device for each in ours for device in each[: config.num_devices or len(each)]]
        _check_divides(config, len(devices), len(ours))
    else:
        count = max(n for n in range(1, fewest + 1) if config.batch_size % n == 0)
        devices = ours[0][:count]
    return mesh_of(devices)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """Return the mesh of given devices, which share the batch."""
    return Mesh(np.array(devices), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))


def _check_divides(config: TrainConfig, devices: int, processes: int = 1) -> None:
    if remainder := config.batch_size % devices:
        below = config.batch_size - remainder
        near = f"{below} or {below + devices}" if below else f"{devices}"
        sharers = (
            f"train.num_devices {devices}"
            if processes == 1
            else f"{devices} devices of {processes} processes"
        )
        raise ConfigError(
            f"train.batch_size {config.batch_size} can't be shared by {sharers}: use a batch_size of {near}"
        )


def replicate(mesh: Mesh, tree: _Tree) -> _Tree:
    """A copy of every array on every device of the mesh; in several processes, all of which have the same arrays."""
    return _put(tree, _layout(mesh))


def _put(tree: _Tree, layout: NamedSharding) -> _Tree:
    if layout.is_fully_addressable or any(map(is_traced, jax.tree.leaves(tree))):
        return cast("_Tree", jax.device_put(tree, layout))

    def put(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(layout, leaf.ndim):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            kind = jax.random.key_impl(leaf)
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=kind)
        here = np.asarray(leaf)
        return jax.make_array_from_callback(here.shape, layout, lambda at: here[at])

    return cast("_Tree", jax.tree.map(put, tree))


def whole(tree: _Tree) -> _Tree:
    """Return arrays that this process can read; sharded arrays are gathered, so all processes must call this."""

    def gather(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        layout: Any = leaf.sharding
        return _gatherer(_layout(layout.mesh))(leaf)

    return cast("_Tree", jax.tree.map(gather, tree))


@cache
def _gatherer(layout: NamedSharding) -> Any:
    return jax.jit(lambda array: array, out_shardings=layout)


def split_rows(mesh: Mesh, tree: _Tree, axis: int = 0) -> _Tree:
    """Share every array out along its batch axis, where the number of rows allows it; inside `jit` or outside."""

    def put(leaf: jax.Array) -> Any:
        return _put(leaf, _row_layout(mesh, leaf.shape, axis))

    return cast("_Tree", jax.tree.map(put, tree))


def place_rows(
    mesh: Mesh,
    shape: tuple[int, ...],
    read: Callable[[Any], "np.ndarray[Any, Any]"],
    axis: int,
) -> jax.Array:
    """An array whose rows are shared out as `split_rows` does it, of which each process reads only its own.

    Args:
        mesh: the devices.
        shape: of the whole array.
        read: A function from slices of the whole array to its content there.
        axis: the batch axis.
    """
    return jax.make_array_from_callback(shape, _row_layout(mesh, shape, axis), read)


def _row_layout(mesh: Mesh, shape: tuple[int, ...], axis: int) -> NamedSharding:
    return _layout(mesh, *[None] * axis, "batch") if shape[axis] % mesh.size == 0 else _layout(mesh)


def _layout(mesh: Mesh, *axes: str | None) -> NamedSharding:
    specification: Any = PartitionSpec  # has no types
    return NamedSharding(mesh, specification(*axes))
