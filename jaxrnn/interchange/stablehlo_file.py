"""A model as a StableHLO program, by way of `jax.export`: for any batch, any length, on CPU, GPU and TPU.

    call({"h_1": [batch, hidden], "c_1": ...}, tokens int32 [batch, time])
        -> ({"h_1": [batch, hidden], "c_1": ...}, logits float32 [batch, time, vocabulary])

The program is `stack.apply_projected` with the parameters in it, made by the layers' own code, so that every model can
be exported. A caller needs jax, and nothing of this library.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from jaxrnn.interchange.description import by_name, describe_with_states, empty_carry, write_described
from jaxrnn.interchange.exporting import require
from jaxrnn.interchange.onnx_file import check_size
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.types import Array

PLATFORMS = ("cpu", "cuda", "tpu")
# Up to this many characters, the projected table is in the file rather than made at every call: a table of this size is
# about as large as the recurrent weights, which are in the file anyway.
_PROJECTED = 1024

Named = dict[str, Array]


def write_stablehlo(trained: LanguageModel, path: Path) -> list[Path]:
    """Write a model to `path`, and its description to `path` with `.json` behind it.

    The same model gives the same bytes, with the same version of jax.

    Raises:
        InterchangeError: The model is too large, or the package flatbuffers is not there.
    """
    check_size(trained)
    require("flatbuffers")  # jax.export serializes with it
    with _without_source_lines():
        content = bytes(_exported(trained).serialize())
    return write_described(path, content, path.with_name(f"{path.name}.json"), describe_with_states(trained))


def _exported(trained: LanguageModel) -> export.Exported:
    config, params, carry = trained.config, trained.params, empty_carry(trained)
    projected = stack.project_table(config, params) if trained.vocabulary.size <= _PROJECTED else None
    names, structure = list(by_name(carry)), jax.tree.structure(carry)

    def call(states: Named, tokens: Array) -> tuple[Named, Array]:
        carry = jax.tree.unflatten(structure, [states[name] for name in names])
        # Whether a table pays off depends on the size of the call, which is unknown here: it was decided above.
        resets = find_resets(tokens, trained.vocabulary.separator_id)
        carry, logits = stack.apply_projected(config, params, projected, carry, tokens, resets=resets)
        return by_name(carry), logits

    batch, time = export.symbolic_shape("batch, time")
    shaped: Any = jax.ShapeDtypeStruct  # it has no types
    states = {name: shaped((batch, array.shape[1]), array.dtype) for name, array in by_name(carry).items()}
    return export.export(jax.jit(call), platforms=PLATFORMS)(states, shaped((batch, time), jnp.int32))


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
    """Keep the paths of this machine out of the lowered program."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    update: Any = jax.config.update
    update(option, 0)
    try:
        yield
    finally:
        update(option, before)
