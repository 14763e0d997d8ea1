"""The private parts of JAX that jaxrnn uses, each with its reason. A test notices when one changes.

- The coordination service of `jax.distributed` is a store of keys and values that all processes reach from any thread.
  JAX uses it itself and offers no public way to it.
- `jax.process_index` and `jax.process_count` start the devices, and are needed before it is known which ones.
- Whether a value is being traced: the same function lays arrays out inside `jit` and outside of it.
"""

from typing import Any

import jax
from jax._src import distributed


def process_index() -> int:
    """Return the number of this process, from 0, without starting the devices."""
    return int(distributed.global_state.process_id)  # type: ignore[no-untyped-call, unused-ignore]


def process_count() -> int:
    """Return how many processes there are, without starting the devices."""
    return int(distributed.global_state.num_processes)


def coordination_client() -> Any:
    """Return the client of the coordination service; None where this process has joined no others."""
    return distributed.global_state.client


def is_traced(value: Any) -> bool:
    """Return whether a value stands for an array inside a transformation."""
    return isinstance(value, jax.core.Tracer)
