"""A PyTorch model's tensors as the layers and parameters of a run.

Modules are recognized by the names and shapes of their tensors:

    prefix.weight                  [rows, size]        an embedding, or a linear layer without a bias: by its place
    prefix.weight, .bias           [out, in], [out]    a linear layer
    prefix.weight_ih_l0            [gates * H, in]     a recurrent layer: 4 gates are an LSTM's, 3 a GRU's, 1 an RNN's
    prefix.weight_hh_l0            [gates * H, H]
    prefix.bias_ih_l0, bias_hh_l0  [gates * H]         both or none
    prefix.weight_ih_l1, ...                           the second layer of the same module, and so on
    prefix.weight_ih, ...                              the same of an nn.LSTMCell

Prefixes are whatever the model's author called the modules. A plan is made of names and shapes alone, then the numbers
are read into it. A file that `jaxrnn export` wrote lists its layers, and its names are known. Of another model, one
embedding, one recurrent module, of however many layers, and one linear one go together in one way only. Where there are
more, the JSON has to say in which order the model uses them; nothing is guessed.
"""

import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.config import EmbeddingConfig, ModelConfig
from jaxrnn.config.reading import read_config
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.torch_names import module_params, torch_modules
from jaxrnn.interchange.untrusted import check_count, read_chain
from jaxrnn.layers.block import RNNBlockParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.types import Params

Shape = tuple[int, ...]

_MOST_ONE_HOT = 4096  # characters; the identity of so many has 67 MB
_PART = re.compile(r"(weight|bias)(_(ih|hh)(_l(\d{1,3}))?)?")
_CELLS = {1: "RNN", 3: "GRU", 4: "LSTM"}  # by the number of gates
_MATRICES, _BIASES = {"weight_ih", "weight_hh"}, {"bias_ih", "bias_hh"}


class Module(NamedTuple):
    """One layer's tensors."""

    name: str  # as a message calls it: the prefix, and the layer where a module has several
    kind: str  # its class in torch.nn; a Linear without a bias is taken for an Embedding at first
    inputs: int  # features, or an embedding's rows
    outputs: int
    tensors: dict[str, str]  # full names by role: weight, bias, weight_ih, ...


Modules = Mapping[str, list[Module]]  # by their prefixes, one entry a layer


class Plan(NamedTuple):
    """Which modules become which layers; a dropout has none, nor has the embedding of one-hot vectors."""

    config: ModelConfig
    modules: list[list[Module]]  # one entry a layer


def find_modules(shapes: Mapping[str, Shape]) -> dict[str, list[Module]]:
    """Return the modules by their prefixes, each with one entry a layer.

    Raises:
        InterchangeError: A tensor belongs to no module that a run can have, or has a shape that does not fit.
    """
    groups: dict[str, dict[int, dict[str, str]]] = {}
    for name in shapes:
        prefix, _, last = name.rpartition(".")
        matched = _PART.fullmatch(last)
        if not matched:
            problem = "belongs to no Embedding, RNN, LSTM, GRU or Linear; leave it out if it is not needed"
            for sign, what in (("_reverse", "a bidirectional layer"), ("weight_hr", "a projected LSTM")):
                if sign in last:
                    problem = f"is of {what}, which a run can't have"
            raise InterchangeError(f"{name!r} {problem}")
        parts = groups.setdefault(prefix, {}).setdefault(int(matched[5] or 0), {})
        other = parts.setdefault(last.partition("_l")[0], name)
        if other != name:
            raise InterchangeError(f"{other!r} and {name!r} are the same tensor")
    found = {}
    for prefix, layers in groups.items():
        if max(layers) >= len(layers):
            raise InterchangeError(f"{prefix!r} lacks a layer below its {max(layers)}")
        found[prefix] = [
            _module(f"{prefix}, layer {n}," if len(layers) > 1 else prefix or "the model", layers[n], shapes)
            for n in sorted(layers)
        ]
    return found


def _module(name: str, tensors: dict[str, str], shapes: Mapping[str, Shape]) -> Module:
    shape = {part: [*shapes[full]] for part, full in tensors.items()}
    if {*shape} not in ({"weight"}, {"weight", "bias"}, _MATRICES, _MATRICES | _BIASES):
        raise InterchangeError(
            f"{name} has {' and '.join(sorted(shape))}; an Embedding has a weight, a Linear also a bias, a recurrent "
            "layer weight_ih and weight_hh, and bias_ih and bias_hh or neither"
        )
    for part, sizes in shape.items():
        if "weight" in part and (len(sizes) != 2 or 0 in sizes):
            raise InterchangeError(f"{name} has a {part} of shape {sizes}, which is not a matrix")
    rows, size = shape.get("weight") or shape["weight_hh"]
    for part, sizes in shape.items():
        wanted = [rows, sizes[-1]] if "weight" in part else [rows]
        if sizes != wanted:
            raise InterchangeError(f"{name}: its {part} has shape {sizes}, not {wanted}")
    if "weight" in shape:
        table = Module(name, "Embedding", rows, size, tensors)
        return _as_linear(table) if "bias" in shape else table
    gates, rest = divmod(rows, size)
    if rest or gates not in _CELLS:
        problem = f"has shape {shape['weight_hh']}, not [gates * H, H]; an RNN has 1 gate, a GRU 3, an LSTM 4"
        raise InterchangeError(f"{name}: its weight_hh {problem}")
    return Module(name, _CELLS[gates], shape["weight_ih"][1], size, tensors)


def _as_linear(module: Module) -> Module:
    """Return a module after the first position: an embedding there is a linear layer without a bias."""
    name, kind, rows, size, tensors = module
    return Module(name, "Linear", size, rows, tensors) if kind == "Embedding" else module


# A file that `jaxrnn export` wrote.


def plan_described(modules: Modules, layers: Any, vocabulary_size: int) -> Plan:
    """Return the plan of a model whose layers are known, each under `layers.N`.

    Args:
        modules: from `find_modules`.
        layers: a config's `model.layers`, as JSON has it.
        vocabulary_size: number of characters.

    Raises:
        FieldError: No config can have such layers.
        InterchangeError: PyTorch has no such layer, or the tensors are not theirs.
    """
    check_count(layers)
    config = read_config({"model": {"layers": layers}}).model
    left = dict(modules)
    planned: list[list[Module]] = []
    for index, (kind, *arguments) in enumerate(torch_modules(config, vocabulary_size)):
        name, wanted = f"layers.{index}", {}
        if kind == "Block":
            cell, size = arguments
            wanted = {f"{name}.cell": (cell, size, size), f"{name}.linear": ("Linear", size, size)}
        elif kind != "Dropout":
            wanted = {name: (kind, *arguments)}
        planned.append([])
        for prefix, module in wanted.items():
            found = left.pop(prefix, [])
            found = [*map(_as_linear, found)] if module[0] == "Linear" else found
            if [each[1:4] for each in found] != [module]:
                told = " and ".join("{}({}, {})".format(*each[1:4]) for each in found) or "missing"
                raise InterchangeError("{} must be {}({}, {}), but is {}".format(prefix, *module, told))
            planned[-1] += found
    if left:
        raise InterchangeError(f"{min(left)!r} is not one of the layers that the file lists")
    return Plan(config, planned)


# Any other model.


def plan_found(modules: Modules, order: Any, vocabulary_size: int) -> Plan:
    """Return the plan of a model of which nothing is known but its tensors and its characters.

    Args:
        modules: from `find_modules`.
        order: the prefixes in the order in which the model uses its modules, or None.
        vocabulary_size: number of characters.

    Raises:
        FieldError: No config can have such layers.
        InterchangeError: The modules could go together in several ways, or do not fit together in any.
    """
    first, *others = _only_order(modules, vocabulary_size) if order is None else _ordered(modules, order)
    chain = [first if others else _as_linear(first), *map(_as_linear, others)]
    layers: list[dict[str, Any]] = []
    planned: list[list[Module]] = []
    size, given = vocabulary_size, f"there are {vocabulary_size:,} characters"
    if chain[0].kind != "Embedding":  # one-hot vectors are looked up in the identity
        if size > _MOST_ONE_HOT:
            raise InterchangeError(f"has no embedding, and {size:,} characters are too many for one-hot")
        layers.append({"type": "embedding", "size": size})
        planned.append([])
        given += ", and no embedding"
    for module in chain:
        if module.inputs != size:
            reads = "has {:,} rows" if module.kind == "Embedding" else "reads {:,} numbers"
            raise InterchangeError(f"{module.name} {reads.format(module.inputs)}, but {given}")
        size = module.outputs
        given = f"what comes before it gives {size:,}"
        layers.append({"type": "dense" if module.kind == "Linear" else module.kind.lower(), "size": size})
        planned.append([module])
    return Plan(read_chain(layers, vocabulary_size, chain[-1].name), planned)


def _ordered(modules: Modules, order: Any) -> list[Module]:
    given = [*map(str, order)] if isinstance(order, list) else []
    if sorted(given) != sorted(modules):
        wrong = _names({*given} ^ modules.keys()) or "a name given twice"
        advice = f'"modules" must be a list of all names, each once, such as {_example(modules)}'
        raise InterchangeError(f"{advice}; missing or unknown: {wrong}")
    return [module for prefix in order for module in modules[prefix]]


def _only_order(modules: Modules, vocabulary_size: int) -> list[Module]:
    """Return the only order that an embedding, a recurrent module and a linear one can have."""
    tables = [layers[0] for layers in modules.values() if layers[0].kind == "Embedding"]
    linear = [layers[0] for layers in modules.values() if layers[0].kind == "Linear"]
    recurrent = [layers for layers in modules.values() if layers[0].kind in _CELLS.values()]
    if not recurrent:
        raise InterchangeError(f"has no recurrent layer, only {_names(modules) or 'nothing'}")
    if len(recurrent) == 1:
        (cells,) = recurrent
        inputs, outputs = cells[0].inputs, cells[-1].outputs
        match tables, linear:
            case [] | [_], [head]:
                return [*tables, *cells, head]
            case [_, _], []:  # one of them is a linear layer without a bias
                ways = [
                    [first, *cells, last]
                    for first, last in permutations(tables)
                    if (first.outputs, last.outputs) == (inputs, outputs)
                ]
                if len(ways) == 1:
                    return ways[0]
            case [table], [] if inputs == vocabulary_size != outputs == table.outputs:
                return [*cells, table]
            case [table], []:
                advice = f"if it shares the weights of {table.name}, save a clone of them under its own name"
                raise InterchangeError(f"has no linear layer after the recurrent ones; {advice}")
    advice = f'say which with "modules": {_example(modules)} in the JSON next to it'
    raise InterchangeError(f"has {_names(modules)}, which can be used in several orders; {advice}")


def _names(prefixes: Iterable[str]) -> str:
    names = sorted(prefixes)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(reprlib.repr, names[:8])) + more


def _example(modules: Modules) -> str:
    """Return the first names in the usual order, as a list in JSON."""
    kinds = {prefix: layers[0].kind for prefix, layers in modules.items()}
    names = sorted(kinds, key=lambda name: (kinds[name] == "Linear", kinds[name] != "Embedding", name))
    return json.dumps(names[:4] + ["..."] * (len(names) > 4))


# The numbers.


def read_params(plan: Plan, read: Callable[[str], Any]) -> Params:
    """Return the parameters of a plan: a tuple with one entry a layer, of NumPy arrays.

    Args:
        plan: which tensors are whose.
        read: gives a tensor by its name, in float32.
    """
    params: list[Any] = []
    for layer, modules in zip(plan.config.layers, plan.modules, strict=True):
        parts: list[Any] = [
            module_params(module.kind, {part: read(name) for part, name in module.tensors.items()})
            for module in modules
        ]
        if not parts and isinstance(layer, EmbeddingConfig):
            identity: Any = np.eye(layer.size, dtype=np.float32)
            parts = [EmbeddingParams(identity)]
        params.append(RNNBlockParams(*parts) if len(parts) == 2 else parts[0] if parts else ())
    return tuple(params)
