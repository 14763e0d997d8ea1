"""The description of a model next to its numbers, as JSON: enough to use them without this library.

A carry is described by names: `h_1` is the hidden state of layer 1, `c_1` its cell state. Layers are counted from 0,
the embedding's number, as in a config and in `--set model.layers.1.size`.
"""

import json
from pathlib import Path
from typing import Any

import jax

import jaxrnn
from jaxrnn.config import Config
from jaxrnn.config.reading import to_tables
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.types import Array, Carry

METADATA = "jaxrnn"  # the key of the description in a file's own metadata
KIND = "jaxrnn model"
FORMAT_VERSION = 1


def describe(trained: LanguageModel) -> dict[str, Any]:
    """Return the description of a model that another program needs to use it, as JSON has it.

    Keys: `format` and `format_version`; `jaxrnn_version`, that wrote it; `name`, of the run; `layers`, as in a config;
    `vocabulary`, with `characters` in the order of their ids and the kind of `tokens`; `separator`, the character, of
    these, before which the state is reset, or None.
    """
    characters, tokens, separator = trained.vocabulary
    layers = to_tables(Config(model=trained.config))["model"]["layers"]
    return {
        "format": KIND,
        "format_version": FORMAT_VERSION,
        "jaxrnn_version": jaxrnn.__version__,
        "name": trained.name,
        "layers": [{key: value for key, value in layer.items() if value is not None} for layer in layers],
        "vocabulary": {"characters": characters, "tokens": tokens},
        "separator": separator or None,
    }


def describe_with_states(trained: LanguageModel) -> dict[str, Any]:
    """Return the description of a model, and in `states` the names and sizes of the carry, passed from call to call."""
    states = [
        {"input": name, "output": f"next_{name}", "size": array.shape[1]}
        for name, array in by_name(empty_carry(trained)).items()
    ]
    return describe(trained) | {"states": states}


def by_name(carry: Carry) -> dict[str, Array]:
    """Return the arrays of a carry, each by its field and the number of its layer, in the order of the layers.

    Inside of a residual layer a number for each level: `h_2_1`.

    Example:
        >>> from jaxrnn import LSTMCarry, GRUCarry
        >>> by_name(((), LSTMCarry(h="first", c="second"), (), GRUCarry(h="third")))
        {'h_1': 'first', 'c_1': 'second', 'h_3': 'third'}
    """
    return {
        "_".join([path[-1].name, *(str(key.idx) for key in path[:-1])]): array
        for path, array in jax.tree.leaves_with_path(carry)
    }


def empty_carry(trained: LanguageModel) -> Carry:
    """Return the shapes and types of the carry of one row; no memory is taken."""
    return jax.eval_shape(lambda: stack.initial_carry(trained.config, trained.params, 1))


def to_json(description: dict[str, Any]) -> str:
    """Return a description as JSON text, in ASCII, so that no editor or encoding can change it."""
    return json.dumps(description, indent=2) + "\n"


def write_described(path: Path, content: bytes, beside: Path, description: dict[str, Any]) -> list[Path]:
    """Write a model's file, and its description next to it; return both paths."""
    path.write_bytes(content)
    beside.write_bytes(to_json(description).encode())
    return [path, beside]
