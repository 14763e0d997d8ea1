"""jaxrnn with its custom rules switched off: the same forward passes, differentiated by JAX.

Everything else is as it is in `ours.py`: the projected table, the devices, the optimizer, many steps a dispatch. Only
the loop over time is a `lax.scan`, because JAX can't differentiate a loop that overwrites its inputs.
"""

import importlib
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


def _scan(step: Any, carry: Any, xs: Any, ys: Any, *, reverse: bool = False) -> Any:
    """Stands in for `time_loop`."""
    return jax.lax.scan(lambda carry, here: step(carry, *here), carry, (xs, ys), reverse=reverse)


_custom_vjp = jax.custom_vjp
jax.custom_vjp = _Plain  # type: ignore[assignment, misc]
try:
    from benchmarks.peers.ours import residuals, train
finally:
    jax.custom_vjp = _custom_vjp  # type: ignore[misc]

for _cell in ("rnn", "lstm", "gru"):
    importlib.import_module(f"jaxrnn.layers.{_cell}").time_loop = _scan  # type: ignore[attr-defined]

__all__ = ["residuals", "train"]
