"""Every hand-derived gradient against three independent oracles.

| oracle        | method                                                            | error below |
|---------------|-------------------------------------------------------------------|-------------|
| `autodiff`    | JAX differentiates the plain forward pass (`cases.py`)            | 1e-9        |
| `reference`   | the NumPy layers, loop by loop (`jaxrnn.reference`)               | 1e-9        |
| `differences` | central differences of the plain forward pass, number by number   | 1e-6        |

All in float64, with a random cotangent on every output, the last carry included, for every parameter, the
inputs and the first carry. The error is `max|a - b| / max(max|b|, 1e-8)` over an array, b the oracle's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxrnn.errors import ConfigError, did_you_mean
from jaxrnn.gradcheck.cases import ON_TRIAL, Arguments, Case, Outputs, Sizes, normal
from jaxrnn.types import Array

AUTODIFF_LIMIT = 1e-9
REFERENCE_LIMIT = 1e-9
DIFFERENCES_LIMIT = 1e-6


class Check(NamedTuple):
    """The errors of the gradient by one array, against each oracle."""

    layer: str  # "lstm"; with its kind where there are several: "rnn_block (lstm)"
    leaf: str  # "params.w_x", "carry.h", "xs"
    autodiff: float
    reference: float
    differences: float

    @property
    def passed(self) -> bool:
        """Whether all three errors are below their limits; an error that is not a number is not."""
        return (
            self.autodiff < AUTODIFF_LIMIT
            and self.reference < REFERENCE_LIMIT
            and self.differences < DIFFERENCES_LIMIT
        )


def check_gradients(
    layer: str | None = None,
    *,
    sizes: Sizes = Sizes(),  # noqa: B008 (a tuple: it can't be changed)
    replace: Mapping[str, Callable[..., Outputs]] | None = None,
) -> Iterator[Check]:
    """Check the hand-derived gradients of one layer, or of all.

    Args:
        layer: a name in `ON_TRIAL`; None: all of them.
        sizes: the shapes to check at.
        replace: functions to put on trial in place of the library's, by name in `ON_TRIAL`; they take the same
            arguments.

    Returns:
        One `Check` an array, layer by layer as they are done. JAX's 64-bit setting is switched on only
        while a layer is being checked, never between two results.

    Raises:
        ConfigError: There is no such layer.

    Example:
        >>> all(check.passed for check in check_gradients("dense"))
        True
    """
    functions = dict(replace or {})
    for name in [*([layer] if layer is not None else []), *functions]:
        if name not in ON_TRIAL:
            advice = did_you_mean(name, ON_TRIAL) or f"; the layers are {', '.join(ON_TRIAL)}"
            raise ConfigError(f"gradient check: no layer is called {name!r}{advice}")
    return _checks(tuple(ON_TRIAL) if layer is None else (layer,), sizes, functions)


def _checks(
    names: tuple[str, ...], sizes: Sizes, functions: Mapping[str, Callable[..., Outputs]]
) -> Iterator[Check]:
    for name in names:
        layer = ON_TRIAL[name]
        # A generator must not yield inside the context, or the setting would apply to the caller.
        with jax.enable_x64(True):
            rng = np.random.default_rng(0)
            function = functions.get(name, layer.function)
            checks = [
                check
                for case in layer.cases(rng, sizes)
                for check in _check(case, function, layer.plain, rng)
            ]
        yield from checks


def _check(
    case: Case,
    function: Callable[..., Outputs],
    plain_twin: Callable[..., Outputs],
    rng: np.random.Generator,
) -> list[Check]:
    """One case against the three oracles; under 64-bit."""

    def gradients(arguments: Arguments, cotangents: Outputs) -> tuple[Arguments, Arguments, Arguments]:
        _, by_hand = jax.vjp(lambda arguments: case.call(function, arguments), arguments)
        _, by_autodiff = jax.vjp(lambda arguments: case.call(plain_twin, arguments), arguments)
        by_differences = _central_differences(
            lambda arguments: _inner(cotangents, case.call(plain_twin, arguments)), arguments
        )
        return by_hand(cotangents)[0], by_autodiff(cotangents)[0], by_differences

    shapes = jax.eval_shape(lambda arguments: case.call(plain_twin, arguments), case.arguments)
    cotangents = jax.tree.map(lambda output: normal(rng, *output.shape), shapes)
    # One compilation serves all; NumPy is left to itself.
    on_trial, autodiff, differences = jax.jit(gradients, compiler_options=_compiler_options())(
        case.arguments, cotangents
    )
    # Its records have the same fields.
    by_reference = case.reference(*jax.device_get((case.arguments, cotangents)))

    leaves = jax.tree.leaves_with_path(on_trial)
    oracles = [jax.tree.leaves(tree) for tree in (autodiff, by_reference, differences)]
    return [
        Check(
            case.name,
            jax.tree_util.keystr(path, simple=True, separator="."),
            *(_relative_error(leaf, oracle) for oracle in leaf_oracles),
        )
        for (path, leaf), *leaf_oracles in zip(leaves, *oracles, strict=True)
    ]


def _compiler_options() -> dict[str, bool | int | str | float] | None:
    """On a CPU nearly all of the time goes into compiling; code this small need not be fast."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None


def _inner(cotangents: Outputs, outputs: Outputs) -> Array:
    """The sum of all products of outputs and cotangents: the number whose derivative by an output is its cotangent."""
    products = jax.tree.map(lambda cotangent, output: jnp.sum(cotangent * output), cotangents, outputs)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))


# The error of four-point differences is of the order STEP^4 + (rounding) / STEP; near 1e-3 both are about 1e-12.
_STEP = 1e-3


def _central_differences(function: Callable[[Arguments], Array], arguments: Arguments) -> Arguments:
    """The gradient of the function, each number moved on its own, with an error of order _STEP^4.

    f'(x) = (8 (f(x + s) - f(x - s)) - (f(x + 2s) - f(x - 2s))) / 12 s: the terms in s^3 of both
    differences cancel.
    """
    flat, unravel = ravel_pytree(arguments)
    # [4, numbers, numbers]: row i of each has number i moved. One traced function serves all rows.
    moved = (
        flat[None, None] + _STEP * jnp.array([-2.0, -1.0, 1.0, 2.0])[:, None, None] * jnp.eye(flat.size)[None]
    )
    far_below, below, above, far_above = jax.vmap(jax.vmap(lambda row: function(unravel(row))))(moved)
    gradient: Arguments = unravel((8 * (above - below) - (far_above - far_below)) / (12 * _STEP))
    return gradient


def _relative_error(a: Any, b: Any) -> float:
    """`max|a - b| / max(max|b|, 1e-8)`; b is the oracle."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-8))
