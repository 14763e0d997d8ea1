"""The JSON files of the educational trainer that this program re-implements.

A list of layers, each an object with its `type` and its parameters as nested lists, then the table of characters:

    type     layer                  parameters
    [0]      embedding              E [V, D]
    [1]      dense                  W, b                 y = x W + b
    [2]      RNN                    Wxh, Whh, bh         h = tanh(x Wxh + h Whh + bh)
    [3]      LSTM                   Wxa, Wha, ba         four blocks of H columns: i, f, o, g; ours are i, f, g, o
    [4]      softmax                none
    [2, 1]   RNN block              those of its parts   x + dense(rnn(x)); [3, 1] likewise

Files of several versions are about, so that what can be told from the sizes is not prescribed: matrices may stand as
[in, out] or as [out, in], biases as [n], [1, n] or [n, 1], a block's parameters in objects of their own or not, and the
table of characters may have any form (`characters.read_characters`). A bias says how many columns its matrix has, and
so every matrix that is not square says which way it stands; the square ones stand as the others do. Where all are
square, they are taken as [in, out], which is how the equations are written; that is said.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    LayerConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.config.fields import FieldError
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import read_characters
from jaxrnn.interchange.json_text import parse_json, show, to_array
from jaxrnn.layers.block import RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.types import Params

_Array = NDArray[np.float32]

_NAMES: dict[int, tuple[str, ...]] = {
    0: ("E",),
    1: ("W", "b"),
    2: ("Wxh", "Whh", "bh"),
    3: ("Wxa", "Wha", "ba"),
    4: (),
}
_KNOWN = {name for names in _NAMES.values() for name in names}
_MOST_LAYERS = 1000
_DEEPEST = 3  # objects in a layer


class Original(NamedTuple):
    """What a file holds."""

    config: ModelConfig
    params: Params  # of NumPy arrays
    characters: list[str]  # in the order of the file's ids
    notes: tuple[str, ...]  # what was decided without being said in the file


class _Layer(NamedTuple):
    name: str  # for messages
    types: tuple[int, ...]
    parameters: dict[str, _Array]


def read_original(data: bytes, source: str) -> Original:
    """Reads a model from the text of a file.

    Raises:
        InterchangeError: It is not JSON, or not such a model; the message names the layer and the parameter.
    """
    layers, tables = _split(parse_json(data, source), source)
    if len(tables) != 1:
        found = "no table of characters" if not tables else f"{len(tables)} tables of characters"
        raise InterchangeError(f"{source}: has {found} after its layers")
    characters = read_characters(tables[0], f"{source}: its table of characters")
    read = [_read_layer(layer, f"{source}: layer {number}") for number, layer in enumerate(layers)]
    return _assemble(read, characters, source)


def _split(content: Any, source: str) -> tuple[list[Any], list[Any]]:
    """The objects that are layers, and what is none of them."""
    parts = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise InterchangeError(f"{source}: not the original project's model: neither a list nor an object")
    layers: list[Any] = []
    others: list[Any] = []
    for part in parts:
        if _is_layer(part):
            layers.append(part)
        elif isinstance(part, list) and part and all(map(_is_layer, part)):
            layers += part
        else:
            others.append(part)
    if not layers:
        raise InterchangeError(
            f'{source}: not the original project\'s model: nothing in it is a layer, an object with a "type"'
        )
    if len(layers) > _MOST_LAYERS:
        raise InterchangeError(f"{source}: has {len(layers):,} layers; at most {_MOST_LAYERS:,} are possible")
    # Both directions of the table may stand one after the other.
    return layers, others if len(others) < 2 else [others]


def _is_layer(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type"), int | list)


def _read_layer(layer: dict[str, Any], name: str) -> _Layer:
    given = layer["type"] if isinstance(layer["type"], list) else [layer["type"]]
    types = tuple(given)
    if not all(type(number) is int for number in types) or types not in (
        *((number,) for number in _NAMES),
        (2, 1),
        (3, 1),
    ):
        raise InterchangeError(
            f"{name}: its type is {show(layer['type'])}; known are [0] to [4], [2, 1] and [3, 1]"
        )
    named = f"{name}, of type {[*types]},"
    wanted = [parameter for number in types for parameter in _NAMES[number]]
    found: dict[str, Any] = {}
    for key, value in _walk(layer, named):
        if key not in wanted:
            raise InterchangeError(
                f"{named} has {show(key)}; such a layer has {', '.join(wanted) or 'nothing'}"
            )
        if key in found:
            raise InterchangeError(f"{named} has {key} twice")
        found[key] = value
    if missing := [parameter for parameter in wanted if parameter not in found]:
        raise InterchangeError(f"{named} lacks {' and '.join(missing)}")
    return _Layer(named, types, {key: to_array(found[key], f"{named} its {key}") for key in wanted})


def _walk(layer: dict[str, Any], name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every list of numbers in a layer with its key, also in objects inside; numbers and texts are left alone."""
    if depth > _DEEPEST:
        raise InterchangeError(f"{name} has objects nested too deeply")
    for key, value in layer.items():
        if isinstance(value, dict):
            yield from _walk(value, name, depth + 1)
        elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
            for part in value:
                yield from _walk(part, name, depth + 1)
        elif isinstance(value, list) and key != "type":
            yield key, value


# Sizes, and which way matrices stand.


class _Sized(NamedTuple):
    layer: _Layer
    outputs: int
    shapes: dict[str, tuple[int, int]]  # what each matrix is to be: [in, out]


def _assemble(layers: list[_Layer], characters: list[str], source: str) -> Original:
    first, *others = layers
    if first.types != (0,):
        raise InterchangeError(f"{first.name} comes first; an embedding, of type [0], must")
    if others and others[-1].types == (4,):
        others.pop()
    table = _table(first, len(characters))
    sized, size = [], table.shape[1]
    for layer in others:
        if layer.types in ((0,), (4,)):
            raise InterchangeError(f"{layer.name} can only come {'first' if layer.types == (0,) else 'last'}")
        sized.append(_size(layer, size))
        size = sized[-1].outputs
    config = _configure(table.shape[1], sized, len(characters), source)
    is_turned, notes = _agree(sized, source)
    params = tuple(_params(_turn(each, is_turned)) for each in sized)
    return Original(config, (EmbeddingParams(table), *params), characters, notes)


def _table(layer: _Layer, vocabulary_size: int) -> Any:
    """The embedding, a row for each character."""
    table = layer.parameters["E"]
    if table.ndim != 2 or vocabulary_size not in table.shape:
        raise InterchangeError(
            f"{layer.name} its E is {_shape(table)}, but there are {vocabulary_size:,} characters"
        )
    return table if table.shape[0] == vocabulary_size else np.ascontiguousarray(table.T)


def _size(layer: _Layer, inputs: int) -> _Sized:
    """What a layer makes of its inputs, by its biases; these become [n]."""
    parameters = dict(layer.parameters)
    for key in ("b", "bh", "ba"):
        if key in parameters:
            bias = parameters[key]
            if bias.size != max(bias.shape):
                raise InterchangeError(f"{layer.name} its {key} is {_shape(bias)}, not [n], [1, n] or [n, 1]")
            parameters[key] = bias.reshape(-1)
    shapes, size = {}, inputs
    for kind in layer.types:
        weight, *_, bias_key = _NAMES[kind]
        columns = parameters[bias_key].size
        shapes[weight] = (size, columns)
        size = columns
        if kind == 3:
            if columns % 4:
                raise InterchangeError(f"{layer.name} its ba has {columns} numbers, which are not four gates")
            size = columns // 4
        if kind in (2, 3):
            shapes[_NAMES[kind][1]] = (size, columns)
    return _Sized(layer._replace(parameters=parameters), size, shapes)


def _configure(embedding_size: int, layers: list[_Sized], vocabulary_size: int, source: str) -> ModelConfig:
    made: list[LayerConfig] = []
    try:
        made.append(EmbeddingConfig(size=embedding_size))
        size = embedding_size
        for index, (layer, outputs, _) in enumerate(layers):
            if len(layer.types) == 2:
                if outputs != size:
                    raise InterchangeError(f"{layer.name} adds {outputs} numbers to the {size} of its input")
                made.append(RNNBlockConfig(cell="rnn" if layer.types[0] == 2 else "lstm"))
            elif layer.types != (1,):
                made.append((RNNConfig if layer.types == (2,) else LSTMConfig)(size=outputs))
            elif index < len(layers) - 1:
                made.append(DenseConfig(size=outputs))
            elif outputs == vocabulary_size:
                made.append(DenseConfig())
            else:
                problem = f"gives {outputs:,} numbers, but there are {vocabulary_size:,} characters"
                raise InterchangeError(f"{layer.name} {problem}")
            size = outputs
        return ModelConfig(layers=tuple(made))
    except FieldError as error:
        raise InterchangeError(f"{source}: {error}") from None


def _agree(layers: list[_Sized], source: str) -> tuple[bool, tuple[str, ...]]:
    """Whether square matrices are [out, in], as all others of the file are; and what to say of it."""
    squares, turned = [], set()
    for layer, _, shapes in layers:
        for key, shape in shapes.items():
            found = layer.parameters[key].shape
            if found not in (shape, shape[::-1]):
                wanted = f"[{shape[0]}, {shape[1]}] or [{shape[1]}, {shape[0]}]"
                raise InterchangeError(
                    f"{layer.name} its {key} is {_shape(layer.parameters[key])}, not {wanted}"
                )
            if shape[0] == shape[1]:
                squares.append(f"{layer.name} its {key}")
            else:
                turned.add(found != shape)
    if len(turned) == 2 and squares:
        raise InterchangeError(
            f"{source}: some matrices are [in, out] and others [out, in], so that {squares[0]} could be either"
        )
    if not turned and squares:
        return False, ("all matrices are square; they are taken as [in, out], as in y = x W + b",)
    return turned == {True}, ()


def _turn(sized: _Sized, is_turned: bool) -> _Layer:
    """The layer with its matrices as [in, out]."""
    layer, _, shapes = sized
    parameters = dict(layer.parameters)
    for key, shape in shapes.items():
        matrix = parameters[key]
        if matrix.shape != shape or (is_turned and shape[0] == shape[1]):
            parameters[key] = np.ascontiguousarray(matrix.T)
    return layer._replace(parameters=parameters)


def _shape(array: _Array) -> str:
    return str([*array.shape])


# Parameters.


def _params(layer: _Layer) -> Params:
    given: dict[str, Any] = dict(layer.parameters)
    parts: list[Any] = []
    for kind in layer.types:
        match kind:
            case 1:
                parts.append(DenseParams(given["W"], given["b"]))
            case 2:
                parts.append(RNNParams(given["Wxh"], given["Whh"], given["bh"]))
            case 3:
                parts.append(LSTMParams(*(_to_our_gates(given[key]) for key in _NAMES[3])))
    return parts[0] if len(parts) == 1 else RNNBlockParams(*parts)


def _to_our_gates(columns: Any) -> Any:
    """Blocks of columns i, f, o, g as i, f, g, o."""
    i, f, o, g = np.split(columns, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)
