"""A model as an ONNX graph of the standard operators: Gather, LSTM, GRU, RNN, MatMul, Add.

    tokens  int64 [batch, time]            logits       float [batch, time, vocabulary]
    h_1     float [batch, hidden]          next_h_1     float [batch, hidden]
    c_1     float [batch, hidden]          next_c_1     float [batch, hidden]          and so on, layer by layer

Batch and time are free. A sequence may come in pieces: the output `next_h_1` is the next call's input `h_1`, which is
zeros before the first. The names are those of `description.by_name`. The description of the model is in the file, as
JSON under `jaxrnn` in its metadata, and once more next to it.

How our weights become ONNX's (H rows for each gate, a direction as the leading axis, a bias on either side):

    rnn     h                W = w_x^T, R = w_h^T, B = [b, 0]
    lstm    i, f, g, o  to   i, o, f, c
    gru     r, z, n     to   z, r, h, and `linear_before_reset`: r scales h W_h + b_n, not h

Dropout is left out: it is for training. A mogrifier LSTM has no standard operator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxrnn
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.description import METADATA, describe_with_states, to_json, write_described
from jaxrnn.interchange.exporting import require
from jaxrnn.layers.gru import GRUParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.models.stack import count_parameters
from jaxrnn.types import Params

# Old enough for every onnxruntime since 1.12 (2022), in a browser too; the operators here have not changed since 14.
OPSET = 17
IR_VERSION = 8
# A protobuf message is smaller than 2 GiB; the difference is left for all that is not parameters.
MAX_BYTES = 2_000_000_000


def write_onnx(trained: LanguageModel, path: Path) -> list[Path]:
    """Write a model to `path`, and its description to `path` with `.json` behind it.

    The same model gives the same bytes.

    Raises:
        InterchangeError: A layer has no standard operator, the model is too large, or the package onnx is not there.
    """
    for index, layer in enumerate(trained.config.layers):
        if layer.type not in _WRITERS:
            raise InterchangeError(
                f"{trained.name}: layers[{index}] is of type {layer.type}, for which ONNX has no operator; "
                "--format stablehlo exports every model"
            )
    check_size(trained)
    description = describe_with_states(trained)
    content = _model(require("onnx"), trained, description).SerializeToString(deterministic=True)
    return write_described(path, content, path.with_name(f"{path.name}.json"), description)


def check_size(trained: LanguageModel) -> None:
    """Refuse what no single file of this kind can hold; a StableHLO artifact has the same limit.

    Raises:
        InterchangeError: The parameters are too large.
    """
    size = 4 * count_parameters(trained.params)
    if size > MAX_BYTES:
        raise InterchangeError(
            f"{trained.name}: {size / 1e9:.1f} GB of parameters, and such a file holds {MAX_BYTES / 1e9:.0f} GB "
            "at most; --format safetensors has no limit"
        )


class _Graph(NamedTuple):
    """A graph under construction: nodes and weights in order, and the package onnx."""

    onnx: Any
    nodes: list[Any]
    weights: list[Any]

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add an operator, named after its first output; return that name."""
        self.nodes.append(
            self.onnx.helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes)
        )
        return outputs[0]

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _model(onnx: Any, trained: LanguageModel, description: dict[str, Any]) -> Any:
    """Return the graph with its inputs and outputs, and the description in its metadata."""
    config, params = trained.config, jax.device_get(trained.params)
    graph = _Graph(onnx, [], [])
    graph.weight("first_axis", np.array([0], np.int64))
    graph.weight("direction_axis", np.array([1], np.int64))

    # The operators want time first.
    xs = graph.node("Transpose", ["tokens"], ["tokens_by_time"], perm=[1, 0])
    for index, (layer, layer_params) in enumerate(zip(config.layers, params, strict=True)):
        xs = _WRITERS[layer.type](graph, index, layer_params, xs)
    graph.node("Transpose", [xs], ["logits"], perm=[1, 0, 2])

    helper, dtypes = onnx.helper, onnx.TensorProto

    def values(states: str, **others: tuple[int, list[Any]]) -> list[Any]:
        sizes = {state[states]: (dtypes.FLOAT, ["batch", state["size"]]) for state in description["states"]}
        return [helper.make_tensor_value_info(name, *value) for name, value in (others | sizes).items()]

    taken = values("input", tokens=(dtypes.INT64, ["batch", "time"]))
    given = values("output", logits=(dtypes.FLOAT, ["batch", "time", trained.vocabulary.size]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "jaxrnn", taken, given, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jaxrnn",
        producer_version=jaxrnn.__version__,
    )
    helper.set_model_props(model, {METADATA: to_json(description)})
    return model


def _embedding(graph: _Graph, index: int, params: Params, ids: str) -> str:
    table = graph.weight(f"layer_{index}.table", params.table)
    return graph.node("Gather", [table, ids], [f"layer_{index}"])


def _dense(graph: _Graph, index: int, params: Params, xs: str) -> str:
    w, b = graph.weight(f"layer_{index}.w", params.w), graph.weight(f"layer_{index}.b", params.b)
    product = graph.node("MatMul", [xs, w], [f"layer_{index}.product"])
    return graph.node("Add", [product, b], [f"layer_{index}.dense"])


def _block(graph: _Graph, index: int, params: Params, xs: str) -> str:
    """`xs + dense(cell(xs))`."""
    ys = _dense(graph, index, params.dense, _recurrent(graph, index, params.cell, xs))
    return graph.node("Add", [xs, ys], [f"layer_{index}.sum"])


# Of each cell: ONNX's operator, its gates by the number that each has with us, its states by a letter each, as the
# fields of our carry, and its attributes.
_OPERATORS: dict[type, tuple[str, tuple[int, ...], str, dict[str, int]]] = {
    RNNParams: ("RNN", (0,), "h", {}),
    LSTMParams: ("LSTM", (0, 3, 1, 2), "hc", {}),
    GRUParams: ("GRU", (1, 0, 2), "h", {"linear_before_reset": 1}),
}


def _recurrent(graph: _Graph, index: int, params: Params, xs: str) -> str:
    (operator, order, letters, attributes), layer = _OPERATORS[type(params)], f"layer_{index}"
    hidden_size = len(params.w_h)

    def rows(columns: np.ndarray) -> np.ndarray:
        """Gates in columns `[..., gates * H]` to gates in rows, in ONNX's order: `[gates * H, ...]`."""
        gates = np.split(np.asarray(columns), len(order), axis=-1)
        return np.concatenate([gates[gate].T for gate in order])

    recurrent_bias = np.zeros(len(order) * hidden_size, np.float32)
    if isinstance(params, GRUParams):
        recurrent_bias[-hidden_size:] = params.b_n  # the candidate is the last gate in both
    biases = np.concatenate([rows(params.b), recurrent_bias])
    weights = {"W": rows(params.w_x), "R": rows(params.w_h), "B": biases}
    names = [graph.weight(f"{layer}.{name}", array[None]) for name, array in weights.items()]
    states = [f"{letter}_{index}" for letter in letters]
    before = [graph.node("Unsqueeze", [state, "first_axis"], [f"{layer}.before.{state}"]) for state in states]
    behind = [f"{layer}.after.{state}" for state in states]
    lengths = ""  # an input that is left out: all sequences have the same length
    inputs, outputs = [xs, *names, lengths, *before], [f"{layer}.hs", *behind]
    graph.node(operator, inputs, outputs, hidden_size=hidden_size, **attributes)
    for state, name in zip(states, behind, strict=True):
        graph.node("Squeeze", [name, "first_axis"], [f"next_{state}"])
    return graph.node("Squeeze", [f"{layer}.hs", "direction_axis"], [layer])


_WRITERS: dict[str, Callable[[_Graph, int, Params, str], str]] = {
    "embedding": _embedding,
    "dense": _dense,
    "dropout": lambda _graph, _index, _params, xs: xs,
    "rnn": _recurrent,
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn_block": _block,
}
