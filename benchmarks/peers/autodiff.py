"""jaxrnn with its custom rules switched off: the same forward passes, differentiated by JAX.

Everything else is as it is in `ours.py`: the projected table, the devices, the optimizer, many steps a dispatch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp  # noqa: F401  (whatever JAX and optax define with rules of their own must be there already)
import optax  # noqa: F401


class _Plain:
    """Stands in for `jax.custom_vjp`: the function as it is, its rule forgotten."""

    def __init__(self, function: Callable[..., Any], **_options: Any) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def defvjp(self, *_rules: Any, **_options: Any) -> None:
        """The rule that is left out."""


_custom_vjp = jax.custom_vjp
jax.custom_vjp = _Plain  # type: ignore[assignment, misc]
try:
    from benchmarks.peers.ours import residuals, train
finally:
    jax.custom_vjp = _custom_vjp  # type: ignore[misc]

__all__ = ["residuals", "train"]
