"""The JSON files of the educational trainer that this program re-implements.

A list of layers, each an object with its `type` and its parameters as nested lists, then the table of characters:

    type     layer                  parameters
    [0]      embedding              E [V, D]
    [1]      dense                  W, b                 y = x W + b
    [2]      RNN                    Wxh, Whh, bh         h = tanh(x Wxh + h Whh + bh)
    [3]      LSTM                   Wxa, Wha, ba         four blocks of H columns: i, f, o, g; ours are i, f, g, o
    [4]      softmax                none
    [2, 1]   RNN block              those of its parts   x + dense(rnn(x)); [3, 1] likewise

Several versions of these files exist, so nothing that follows from the sizes is prescribed: matrices may be [in, out]
or [out, in], biases [n], [1, n] or [n, 1], a block's parameters may be in objects of their own or not, and the table
of characters may have any form (`characters.read_characters`). The length of a bias gives the columns of its matrix,
and so the orientation of every matrix that is not square; square ones have the orientation of the others. Where all
are square, they are taken as [in, out], as the equations are written, and a note reports that.
"""

import reprlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import Imported, read_characters, sort_characters
from jaxrnn.interchange.untrusted import about, check_count, read_chain
from jaxrnn.layers.block import RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.types import Params

_Array = NDArray[np.float32]
_Shape = tuple[int, ...]

# The parameters of each type, its bias last.
_NAMES = [names.split() for names in ("E", "W b", "Wxh Whh bh", "Wxa Wha ba", "")]
_TYPES = {str([*types]): types for types in ((0,), (1,), (2,), (3,), (4,), (2, 1), (3, 1))}
_CALLED = {1: "dense", 2: "rnn", 3: "lstm"}  # in a config
_PARAMS: dict[int, Callable[..., Params]] = {1: DenseParams, 2: RNNParams, 3: LSTMParams}
_LARGEST = float(np.finfo(np.float32).max)


class _Layer(NamedTuple):
    name: str  # for messages
    types: tuple[int, ...]
    arrays: dict[str, _Array]


def read_original(content: Any) -> Imported:
    """Read a model from the value of a file's JSON.

    Raises:
        FieldError: No config can have such layers.
        InterchangeError: It is not such a model; the message names the layer and the parameter.
    """
    layers, tables = _split(content)
    check_count(layers)
    with about("its table of characters"):
        characters = read_characters(tables)
    first, *others = (_read_layer(layer, f"layer {number}") for number, layer in enumerate(layers))
    if first.types != (0,):
        raise InterchangeError(f"{first.name} comes first; an embedding, of type [0], must")
    if others and others[-1].types == (4,):
        others.pop()
    table: Any = first.arrays["E"]
    count = len(characters)
    if table.ndim != 2 or count not in table.shape:
        raise InterchangeError(f"{first.name}: its E is {[*table.shape]}, but there are {count:,} characters")
    if table.shape[0] != count:
        table = np.ascontiguousarray(table.T)

    outputs = table.shape[1]
    configs: list[dict[str, Any]] = [{"type": "embedding", "size": outputs}]
    matrices: list[tuple[_Layer, str, _Shape]] = []
    for layer in others:
        with about(layer.name):
            inputs = outputs
            shapes, outputs = _shapes(layer, inputs)
            matrices += [(layer, key, shape) for key, shape in shapes.items()]
            called = _CALLED[layer.types[0]]
            if len(layer.types) == 1:
                configs.append({"type": called, "size": outputs})
            elif inputs == outputs:
                configs.append({"type": "rnn_block", "cell": called})
            else:
                raise InterchangeError(f"adds {outputs} numbers to the {inputs} of its input")
    config = read_chain(configs, count, [first, *others][-1].name)
    notes = _turn(matrices)
    vocabulary, params = sort_characters(characters, (EmbeddingParams(table), *map(_params, others)))
    return Imported(config, params, vocabulary, notes)


def _split(content: Any) -> tuple[list[Any], Any]:
    """Return the objects that are layers, and the table of characters, or all of them in a list."""
    parts = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise InterchangeError("not the original project's model: neither a list nor an object")
    layers: list[Any] = []
    others: list[Any] = []
    for part in parts:
        several = part if isinstance(part, list) and part else [part]
        is_layers = all(
            isinstance(each, dict) and isinstance(each.get("type"), int | list) for each in several
        )
        (layers if is_layers else others).extend(several if is_layers else [part])
    if not layers:
        raise InterchangeError(
            'not the original project\'s model: no object with a "type", a layer, is in it'
        )
    if not others:
        raise InterchangeError("has no table of characters after its layers")
    return layers, others[0] if len(others) == 1 else others


def _read_layer(layer: dict[str, Any], name: str) -> _Layer:
    given = layer["type"] if isinstance(layer["type"], list) else [layer["type"]]
    types = _TYPES.get(str(given))
    if types is None:
        raise InterchangeError(f"{name}: its type is {reprlib.repr(given)}; known are {', '.join(_TYPES)}")
    name = f"{name}, of type {given}"
    with about(name):
        wanted = [parameter for number in types for parameter in _NAMES[number]]
        found: dict[str, Any] = {}
        for key, value in _walk(layer):
            if key not in wanted:
                raise InterchangeError(f"has {key!r}; such a layer has {', '.join(wanted) or 'nothing'}")
            if key in found:
                raise InterchangeError(f"has {key} twice")
            found[key] = value
        if missing := [parameter for parameter in wanted if parameter not in found]:
            raise InterchangeError(f"lacks {' and '.join(missing)}")
        return _Layer(name, types, {key: _to_array(found[key], f"its {key}") for key in wanted})


def _walk(layer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every list of numbers in a layer with its key, also in objects inside; numbers and strings are ignored."""
    for key, value in layer.items():
        parts = value if isinstance(value, list) else [value]
        if parts and all(isinstance(part, dict) for part in parts):
            for part in parts:
                yield from _walk(part)
        elif isinstance(value, list) and key != "type":
            yield key, value


def _to_array(value: list[Any], what: str) -> _Array:
    """Return nested lists of numbers as an array of float32."""
    nested = np.array(value, dtype=object)
    if nested.ndim > 4:  # NumPy can't go through more than 32
        raise InterchangeError(f"{what} has too many axes")
    for number in nested.flat:
        if isinstance(number, list):
            raise InterchangeError(f"{what} has rows of different lengths")
        # True is of type bool; NaN compares as False.
        if type(number) not in (float, int) or not abs(number) <= _LARGEST:
            raise InterchangeError(
                f"{what} has {reprlib.repr(number)}, which is not a number that float32 holds"
            )
    if nested.size == 0:
        raise InterchangeError(f"{what} has an empty list")
    return nested.astype(np.float32)


def _shapes(layer: _Layer, inputs: int) -> tuple[dict[str, _Shape], int]:
    """Return the shape that each matrix must have, as [in, out], and the layer's outputs; biases become [n]."""
    if layer.types in ((0,), (4,)):
        raise InterchangeError(f"can only come {'first' if layer.types == (0,) else 'last'}")
    shapes: dict[str, _Shape] = {}
    for kind in layer.types:
        *keys, bias_key = _NAMES[kind]
        bias, gates = layer.arrays[bias_key], 4 if kind == 3 else 1
        if bias.size != max(bias.shape) or bias.size % gates:
            problem = f"is {[*bias.shape]}, not [n], [1, n] or [n, 1] with {gates} gates in n"
            raise InterchangeError(f"its {bias_key} {problem}")
        layer.arrays[bias_key] = bias.reshape(-1)
        outputs = bias.size // gates
        for key, rows in zip(keys, (inputs, outputs), strict=False):
            shapes[key] = (rows, bias.size)
            found = layer.arrays[key].shape
            if found not in (shapes[key], shapes[key][::-1]):
                problem = f"is {[*found]}, not {[rows, bias.size]} or its transpose"
                raise InterchangeError(f"its {key} {problem}")
        inputs = outputs
    return shapes, outputs


def _turn(matrices: list[tuple[_Layer, str, _Shape]]) -> tuple[str, ...]:
    """Transpose the matrices that are [out, in], square ones where all others of the file are; return what to note."""
    squares = [(layer.name, key) for layer, key, shape in matrices if shape[0] == shape[1]]
    turned = {layer.arrays[key].shape != shape for layer, key, shape in matrices if shape[0] != shape[1]}
    if len(turned) == 2 and squares:
        problem = f"so that of {squares[0][0]} the {squares[0][1]} could be either"
        raise InterchangeError(f"some matrices are [in, out] and others [out, in], {problem}")
    for layer, key, shape in matrices:
        matrix = layer.arrays[key]
        if matrix.shape != shape or (shape[0] == shape[1] and turned == {True}):
            layer.arrays[key] = np.ascontiguousarray(matrix.T)
    if squares and not turned:
        return ("all matrices are square; they are taken as [in, out], as in y = x W + b",)
    return ()


def _params(layer: _Layer) -> Params:
    arrays = {key: _to_our_gates(array) if key in _NAMES[3] else array for key, array in layer.arrays.items()}
    parts = [_PARAMS[kind](*(arrays[key] for key in _NAMES[kind])) for kind in layer.types]
    return parts[0] if len(parts) == 1 else RNNBlockParams(*parts)


def _to_our_gates(columns: _Array) -> _Array:
    """Return blocks of columns i, f, o, g as i, f, g, o."""
    i, f, o, g = np.split(columns, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)
