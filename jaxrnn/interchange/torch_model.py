"""A PyTorch model's tensors as the layers and parameters of a run.

First a plan is made of names and shapes alone (`torch_modules`), then the numbers are read into it. What `jaxrnn
export` wrote says which layers it has, and its names are known. Of another model the modules have to be told apart: one
embedding, one recurrent module, of however many layers, and one linear one go together in one way only. Where there are
more, the JSON has to say in which order the model uses them; nothing is guessed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.config.fields import FieldError
from jaxrnn.config.reading import read_config
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.json_text import show
from jaxrnn.interchange.torch_modules import Module
from jaxrnn.interchange.torch_names import check_torch_has
from jaxrnn.layers.block import CellParams, RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.gru import GRUParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.types import Params

Read = Callable[[str], Any]  # a tensor by its name, a NumPy array of float32
Modules = Mapping[str, list[Module]]  # by their prefixes, one entry a layer

_MOST_ONE_HOT = 4096  # characters; the identity of so many has 67 MB
_RECURRENT: dict[str, type[RNNConfig] | type[LSTMConfig] | type[GRUConfig]] = {
    "rnn": RNNConfig,
    "lstm": LSTMConfig,
    "gru": GRUConfig,
}


class Plan(NamedTuple):
    """Which modules become which layers; a dropout has none, nor has the embedding of one-hot vectors."""

    config: ModelConfig
    modules: tuple[tuple[Module, ...], ...]  # one entry a layer
    has_rnn: bool  # whether an nn.RNN is among them, whose function its weights don't tell


# Of what `jaxrnn export` wrote.


def plan_described(modules: Modules, layers: Any, vocabulary_size: int, source: str) -> Plan:
    """Returns the plan of a model whose layers are known, each under `layers.N`.

    Args:
        modules: from `find_modules`.
        layers: a config's `model.layers`, as JSON has it.
        vocabulary_size: number of characters.
        source: what messages call the file.

    Raises:
        InterchangeError: The layers are none that a config can have, or the tensors are not theirs.
    """
    try:
        config = read_config({"model": {"layers": layers}}).model
    except FieldError as error:
        raise InterchangeError(f"{source}: {error}") from None
    check_torch_has(config)
    left = dict(modules)

    def take(prefix: str, kind: str, inputs: int, outputs: int) -> Module:
        found = left.pop(prefix, [])
        what = f"{prefix} must be {kind} of {inputs} to {outputs}"
        if len(found) != 1:
            raise InterchangeError(f"{source}: {what}, but {'has several layers' if found else 'is missing'}")
        (module,) = found
        sizes = (module.inputs, module.outputs)
        if module.kind == "table" and kind != "linear":  # its rows are looked up: they are its inputs
            sizes = sizes[::-1]
        is_kind = module.kind == kind or (module.kind == "table" and kind == "linear")  # one without a bias
        if not is_kind or sizes != (inputs, outputs):
            raise InterchangeError(f"{source}: {what}, not {module.kind} of {sizes[0]} to {sizes[1]}")
        return module

    size = 0
    planned: list[tuple[Module, ...]] = []
    for index, layer in enumerate(config.layers):
        prefix = f"layers.{index}"
        before, size = size, layer.output_size(size)
        match layer:
            case EmbeddingConfig():
                planned.append((take(prefix, "table", vocabulary_size, size),))
            case DropoutConfig():
                planned.append(())
            case DenseConfig():
                planned.append((take(prefix, "linear", before, layer.size or vocabulary_size),))
            case RNNBlockConfig():
                cell = take(f"{prefix}.cell", layer.cell, size, size)
                planned.append((cell, take(f"{prefix}.linear", "linear", size, size)))
            case _:
                planned.append((take(prefix, layer.type, before, size),))
    if left:
        raise InterchangeError(f"{source}: {show(min(left))} is none of the layers that the file names")
    return Plan(config, tuple(planned), has_rnn=False)


# Of any other model.


def plan_found(modules: Modules, order: Any, vocabulary_size: int, source: str) -> Plan:
    """Returns the plan of a model of which nothing is known but its tensors and its characters.

    Args:
        modules: from `find_modules`.
        order: the prefixes in the order in which the model uses its modules, or None.
        vocabulary_size: number of characters.
        source: what messages call the file.

    Raises:
        InterchangeError: The modules could go together in several ways, or do not fit together in any.
    """
    chain = _in_order(modules, vocabulary_size, source) if order is None else _ordered(modules, order, source)
    first, *_ = chain
    planned: list[tuple[LayerConfig, tuple[Module, ...]]] = []
    if first.kind == "table" and len(chain) > 1:
        if first.outputs != vocabulary_size:
            raise InterchangeError(
                f"{source}: {first.name} has {first.outputs:,} rows, but there are {vocabulary_size:,} characters; "
                "both must be one for each id"
            )
        size = first.inputs
        planned.append((EmbeddingConfig(size=_checked(size, source)), (first,)))
        chain = chain[1:]
    else:  # one-hot vectors are looked up in the identity
        if first.inputs != vocabulary_size:
            problem = f"{first.name} reads {first.inputs:,} numbers, not one for each of {vocabulary_size:,} characters"
            raise InterchangeError(f"{source}: has no embedding, and {problem}")
        if vocabulary_size > _MOST_ONE_HOT:
            raise InterchangeError(
                f"{source}: has no embedding, and {vocabulary_size:,} characters are too many for one-hot vectors"
            )
        size = vocabulary_size
        planned.append((EmbeddingConfig(size=size), ()))
    for module in chain:
        if module.inputs != size:
            raise InterchangeError(
                f"{source}: {module.name} reads {module.inputs:,} numbers, but what comes before it gives {size:,}"
            )
        is_last = module is chain[-1]
        size = module.outputs
        planned.append((_layer(module, is_last, vocabulary_size, source), (module,)))
    try:
        config = ModelConfig(layers=tuple(layer for layer, _ in planned))
    except FieldError as error:
        raise InterchangeError(f"{source}: {error}") from None
    has_rnn = any(module.kind == "rnn" for module in chain)
    return Plan(config, tuple(used for _, used in planned), has_rnn)


def _layer(module: Module, is_last: bool, vocabulary_size: int, source: str) -> LayerConfig:
    if module.kind in _RECURRENT:
        return _RECURRENT[module.kind](size=_checked(module.outputs, source))
    if not is_last:
        return DenseConfig(size=_checked(module.outputs, source))
    if module.outputs != vocabulary_size:
        raise InterchangeError(
            f"{source}: {module.name} gives {module.outputs:,} numbers, but there are {vocabulary_size:,} characters; "
            "it must be one for each id"
        )
    return DenseConfig()


def _checked(size: int, source: str) -> int:
    try:
        return EmbeddingConfig(size=size).size
    except FieldError as error:
        raise InterchangeError(f"{source}: {error}") from None


def _ordered(modules: Modules, order: Any, source: str) -> list[Module]:
    if not isinstance(order, list) or not all(isinstance(prefix, str) for prefix in order) or not order:
        raise InterchangeError(f'{source}: "modules" must be a list of names, such as {_example(modules)}')
    for prefix in order:
        if prefix not in modules:
            raise InterchangeError(
                f"{source}: there is no module {show(prefix)}; there are {_names(modules)}"
            )
    (often, count), *_ = Counter(order).most_common(1)
    if count > 1:
        raise InterchangeError(f"{source}: {show(often)} is named twice, but one layer can't be used twice")
    if missing := modules.keys() - set(order):
        raise InterchangeError(f'{source}: "modules" does not say where {_names(missing)} is used')
    return [module for prefix in order for module in modules[prefix]]


def _in_order(modules: Modules, vocabulary_size: int, source: str) -> list[Module]:
    """The only order that an embedding, a recurrent module and a linear one can have."""
    recurrent = [layers for layers in modules.values() if layers[0].kind in _RECURRENT]
    linear = [layers[0] for layers in modules.values() if layers[0].kind == "linear"]
    tables = [layers[0] for layers in modules.values() if layers[0].kind == "table"]
    if len(recurrent) == 1:
        (layers,) = recurrent
        match tables, linear:
            case [embedding], [head]:
                return [embedding, *layers, head]
            case [], [head]:
                return [*layers, head]
            case [table, other], []:  # one of them is a linear layer without a bias
                ways = [
                    [one, *layers, head]
                    for one, head in ((table, other), (other, table))
                    if (one.inputs, head.inputs) == (layers[0].inputs, layers[-1].outputs)
                ]
                if len(ways) == 1:
                    return ways[0]
            case [table], [] if layers[0].inputs == vocabulary_size != layers[-1].outputs == table.inputs:
                return [*layers, table]
            case [table], []:
                raise InterchangeError(
                    f"{source}: has no linear layer after the recurrent ones; if it shares the weights of "
                    f"{table.name}, save a clone of them under a name of its own"
                )
    problem = (
        f"has {_names(modules)}, which can be used in several orders"
        if recurrent
        else "has no recurrent layer"
    )
    raise InterchangeError(
        f'{source}: {problem}; say which with "modules": {_example(modules)} in the JSON beside it'
        if recurrent
        else f"{source}: {problem}, only {_names(modules)}"
    )


def _names(prefixes: Iterable[str]) -> str:
    names = sorted(prefixes)
    return ", ".join(show(name) for name in names[:8]) + (
        f" and {len(names) - 8} more" if len(names) > 8 else ""
    )


def _example(modules: Modules) -> str:
    def rank(prefix: str) -> int:
        kind = modules[prefix][0].kind
        return 0 if kind == "table" else 1 if kind in _RECURRENT else 2

    names = sorted(sorted(modules), key=rank)[:4]
    return "[" + ", ".join(f'"{name}"' for name in names) + (", ...]" if len(modules) > 4 else "]")


# The numbers.


def read_params(plan: Plan, read: Read) -> Params:
    """Returns the parameters of a plan: a tuple with one entry a layer, of NumPy arrays.

    Args:
        plan: which tensors are whose.
        read: gives a tensor by its name, in float32.
    """
    params: list[Any] = []
    for layer, modules in zip(plan.config.layers, plan.modules, strict=True):
        match layer, modules:
            case EmbeddingConfig(), ():
                identity: Any = np.eye(layer.size, dtype=np.float32)
                params.append(EmbeddingParams(identity))
            case EmbeddingConfig(), (table,):
                params.append(EmbeddingParams(read(table.tensors["weight"])))
            case RNNBlockConfig(), (cell, linear):
                params.append(RNNBlockParams(_read_cell(cell, read), _read_linear(linear, read)))
            case DenseConfig(), (linear,):
                params.append(_read_linear(linear, read))
            case _, (cell,):
                params.append(_read_cell(cell, read))
            case _:
                params.append(())
    return tuple(params)


def _read_linear(module: Module, read: Read) -> Any:
    none: Any = np.zeros(module.outputs, np.float32)
    bias = read(module.tensors["bias"]) if "bias" in module.tensors else none
    return DenseParams(_transposed(read(module.tensors["weight"])), bias)


def _read_cell(module: Module, read: Read) -> CellParams:
    """PyTorch adds two biases; a GRU's candidate resets the second, so there they stay apart."""
    w_x, w_h = (_transposed(read(module.tensors[name])) for name in ("weight_ih", "weight_hh"))
    none: Any = np.zeros(w_h.shape[1], np.float32)
    b, second = (
        read(module.tensors[name]) if name in module.tensors else none for name in ("bias_ih", "bias_hh")
    )
    if module.kind == "gru":
        candidate = slice(2 * module.outputs, None)
        b_n = second[candidate].copy()
        second = second.copy()
        second[candidate] = 0
        return GRUParams(w_x, w_h, b + second, b_n)
    return (LSTMParams if module.kind == "lstm" else RNNParams)(w_x, w_h, b + second)


def _transposed(matrix: Any) -> Any:
    return np.ascontiguousarray(matrix.T)
