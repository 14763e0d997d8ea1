"""The program of training steps, compiled ahead of time for devices that need not be here."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn.config import Config
from jaxrnn.parallel.devices import mesh_of
from jaxrnn.training.state import init_state
from jaxrnn.training.step import run_steps


def compile_steps(
    config: Config,
    vocabulary_size: int,
    ids: Any,
    devices: Sequence[jax.Device],
    separator_id: int | None = None,
) -> jax.stages.Compiled:
    """Compile what `run_steps` runs, from array shapes alone.

    Args:
        config: The run's.
        vocabulary_size: Number of tokens.
        ids: Anything with the shape `[tokens]` and type of the token ids that are on the devices at once.
        devices: They share the batch.
        separator_id: As for `run_steps`.

    Raises:
        jax.errors.JaxRuntimeError: The program does not fit into the memory of a TPU, among others.
    """
    mesh = mesh_of(devices)

    def on_mesh(tree: Any, *axes: str) -> Any:
        layout = NamedSharding(mesh, PartitionSpec(*axes))  # type: ignore[no-untyped-call]
        make: Any = partial(jax.ShapeDtypeStruct, sharding=layout)
        return jax.tree.map(lambda leaf: make(leaf.shape, leaf.dtype), tree)

    state, count = jax.eval_shape(lambda: (init_state(config, vocabulary_size), jnp.int32(0)))
    state = on_mesh(state._replace(carry=()))._replace(carry=on_mesh(state.carry, "batch"))
    static = config.model, config.train, mesh
    return run_steps.lower(*static, state, on_mesh(ids), on_mesh(count), separator_id=separator_id).compile()
