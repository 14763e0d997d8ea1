"""The modules of a PyTorch model, told by the names and shapes of their tensors.

    prefix.weight                  [rows, size]        an embedding, or a linear layer without a bias: by its place
    prefix.weight, .bias           [out, in], [out]    a linear layer
    prefix.weight_ih_l0            [gates * H, in]     a recurrent layer: 4 gates are an LSTM's, 3 a GRU's, 1 an RNN's
    prefix.weight_hh_l0            [gates * H, H]
    prefix.bias_ih_l0, bias_hh_l0  [gates * H]         both or none
    prefix.weight_ih_l1, ...                           the second layer of the same module, and so on
    prefix.weight_ih, ...                              the same of an nn.LSTMCell

Prefixes are whatever the model's author called the modules. Nothing here reads a number.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.json_text import show

Kind = Literal["table", "linear", "rnn", "lstm", "gru"]
Shape = tuple[int, ...]

_RECURRENT = re.compile(r"(weight|bias)_(ih|hh)(?:_l(\d{1,3}))?")
_CELLS: dict[int, Kind] = {1: "rnn", 3: "gru", 4: "lstm"}
_MATRICES = {"weight_ih", "weight_hh"}
_BIASES = {"bias_ih", "bias_hh"}


class Module(NamedTuple):
    """One layer's tensors."""

    name: str  # as a message calls it: the prefix, and the layer where a module has several
    kind: Kind
    inputs: int  # features that it reads; of a table, that each row has
    outputs: int  # that it puts out; of a table, its rows
    tensors: dict[str, str]  # full names by what they are: weight, bias, weight_ih, ...


def find_modules(shapes: Mapping[str, Shape], source: str) -> dict[str, list[Module]]:
    """Returns the modules by their prefixes, each with one entry a layer.

    Raises:
        InterchangeError: A tensor belongs to no module that a run can have, or has a shape that does not fit.
    """
    groups: dict[str, dict[int, dict[str, str]]] = {}
    for name in shapes:
        prefix, _, last = name.rpartition(".")
        _refuse_variants(last, name, source)
        matched = _RECURRENT.fullmatch(last)
        if not matched and last not in ("weight", "bias"):
            problem = (
                "belongs to no Embedding, RNN, LSTM, GRU or Linear; leave it out if the model works without"
            )
            raise InterchangeError(f"{source}: {show(name)} {problem}")
        layer = int(matched[3] or 0) if matched else 0
        part = f"{matched[1]}_{matched[2]}" if matched else last
        parts = groups.setdefault(prefix, {}).setdefault(layer, {})
        if part in parts:
            raise InterchangeError(f"{source}: {show(parts[part])} and {show(name)} are the same tensor")
        parts[part] = name
    found = {}
    for prefix, layers in groups.items():
        if sorted(layers) != list(range(len(layers))):
            raise InterchangeError(f"{source}: {show(prefix)} lacks a layer below its {max(layers)}")
        called = (
            [prefix or "the model"]
            if len(layers) == 1
            else [f"{prefix}, layer {n}," for n in range(len(layers))]
        )
        found[prefix] = [_module(name, layers[n], shapes, source) for n, name in enumerate(called)]
    return found


def _refuse_variants(last: str, name: str, source: str) -> None:
    for pattern, what in (
        (r".*_l\d+_reverse", "a bidirectional layer"),
        (r"weight_hr(_l\d+)?", "a projected LSTM"),
    ):
        if re.fullmatch(pattern, last):
            raise InterchangeError(f"{source}: {show(name)} is of {what}, which a run can't have")


def _module(name: str, tensors: dict[str, str], shapes: Mapping[str, Shape], source: str) -> Module:
    here = f"{source}: {show(name)[1:-1]}"
    parts = set(tensors)
    shape = {part: shapes[full] for part, full in tensors.items()}
    if parts <= {"weight", "bias"}:
        if "weight" not in parts:
            raise InterchangeError(f"{here} has a bias but no weight")
        if len(shape["weight"]) != 2 or 0 in shape["weight"]:
            problem = f"has a weight of shape {[*shape['weight']]}; an Embedding's or Linear's is a matrix"
            raise InterchangeError(f"{here} {problem}")
        rows, size = shape["weight"]
        if "bias" not in parts:
            return Module(name, "table", size, rows, tensors)
        _expect(shape["bias"], (rows,), f"{here}: its bias")
        return Module(name, "linear", size, rows, tensors)
    if parts & {"weight", "bias"}:
        raise InterchangeError(f"{here} has tensors of a recurrent layer and of another one")
    if not parts >= _MATRICES or len(parts & _BIASES) == 1:
        missing = sorted((_MATRICES | (_BIASES if parts & _BIASES else set())) - parts)
        raise InterchangeError(f"{here} lacks {' and '.join(missing)}")
    hidden_shape = shape["weight_hh"]
    if len(hidden_shape) != 2 or 0 in hidden_shape or hidden_shape[0] % hidden_shape[1]:
        raise InterchangeError(f"{here}: its weight_hh has shape {[*hidden_shape]}, not [gates * H, H]")
    rows, hidden = hidden_shape
    gates = rows // hidden
    if gates not in _CELLS:
        raise InterchangeError(f"{here} has {gates} gates; an RNN has 1, a GRU 3, an LSTM 4")
    if len(shape["weight_ih"]) != 2 or shape["weight_ih"][0] != rows or 0 in shape["weight_ih"]:
        found = [*shape["weight_ih"]]
        raise InterchangeError(f"{here}: its weight_ih has shape {found}, not [{rows}, input]")
    for bias in parts & _BIASES:
        _expect(shape[bias], (rows,), f"{here}: its {bias}")
    return Module(name, _CELLS[gates], shape["weight_ih"][1], hidden, tensors)


def _expect(found: Shape, wanted: Shape, what: str) -> None:
    if found != wanted:
        raise InterchangeError(f"{what} has shape {[*found]}, not {[*wanted]}")
