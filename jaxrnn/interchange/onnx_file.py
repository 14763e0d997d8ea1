"""A model as an ONNX graph of the standard operators: Gather, LSTM, GRU, RNN, MatMul, Add.

    tokens  int64 [batch, time]            logits       float [batch, time, vocabulary]
    h_1     float [batch, hidden]          next_h_1     float [batch, hidden]
    c_1     float [batch, hidden]          next_c_1     float [batch, hidden]          and so on, layer by layer

Batch and time are whatever a call brings. A text may come in pieces: what leaves as `next_h_1` enters the next call as
`h_1`, and is zeros before the first. The names are those of `jaxrnn.interchange.carries`. What is said of the model is
within the file, as JSON under `jaxrnn` in its metadata, and once more beside it.

How our weights become ONNX's (H rows for each gate, a direction as the leading axis, a bias on either side):

    rnn     h                W = w_x^T, R = w_h^T, B = [b, 0]
    lstm    i, f, g, o  to   i, o, f, c
    gru     r, z, n     to   z, r, h, and `linear_before_reset`: r scales h W_h + b_n, not h

Dropout is gone: it's for training. A mogrifier LSTM has no standard operator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxrnn
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.carries import after, by_name, describe_with_states, empty_carry
from jaxrnn.interchange.description import to_json
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
METADATA_KEY = "jaxrnn"
# A protobuf message is less than 2 GiB; what is not parameters gets what is above.
MAX_BYTES = 2_000_000_000


def write_onnx(trained: LanguageModel, path: Path) -> list[Path]:
    """Writes a model to `path`, and what is said of it to `path` with `.json` behind it.

    The same model gives the same bytes.

    Raises:
        InterchangeError: A layer has no standard operator, the model is too large, or the package onnx is not there.
    """
    check_standard(trained)
    check_size(trained)
    description = to_json(describe_with_states(trained))
    model = _model(require("onnx"), trained, description)
    beside = path.with_name(f"{path.name}.json")
    path.write_bytes(model.SerializeToString(deterministic=True))
    beside.write_text(description, encoding="utf-8", newline="")
    return [path, beside]


def check_standard(trained: LanguageModel) -> None:
    """Refuses layers that ONNX has no operator for.

    Raises:
        InterchangeError: It names the first one, and what about it.
    """
    for index, layer in enumerate(trained.config.layers):
        if layer.type != "dropout" and layer.type not in _WRITERS:
            raise InterchangeError(
                f"{trained.name}: layers[{index}] is of type {layer.type}, for which ONNX has no operator; "
                "--format stablehlo exports every model"
            )


def check_size(trained: LanguageModel) -> None:
    """Refuses what no single file of this kind can hold; a StableHLO artefact has the same limit.

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
    """A graph as it grows: nodes and weights in order, and the helpers of the package onnx."""

    onnx: Any
    nodes: list[Any]
    weights: list[Any]

    def node(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Adds an operator; returns the name of its first output."""
        # An operator is called after what comes out of it: its first output that somebody reads.
        name = next(output for output in outputs if output)
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def weight(self, name: str, array: np.ndarray) -> str:
        """Adds a constant; returns its name."""
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _model(onnx: Any, trained: LanguageModel, description: str) -> Any:
    """The graph, with what it takes and gives, and the description within."""
    config, params = trained.config, jax.device_get(trained.params)
    graph = _Graph(onnx, [], [])
    graph.weight("first_axis", np.array([0], np.int64))
    graph.weight("direction_axis", np.array([1], np.int64))

    # The operators want time first.
    xs = graph.node("Transpose", ["tokens"], ["tokens_by_time"], perm=[1, 0])
    for index, (layer, layer_params) in enumerate(zip(config.layers, params, strict=True)):
        if layer.type != "dropout":
            xs = _WRITERS[layer.type](graph, index, layer_params, xs)
    graph.node("Transpose", [xs], ["logits"], perm=[1, 0, 2])

    helper, number, ids = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    states = {name: ["batch", array.shape[1]] for name, array in by_name(empty_carry(trained)).items()}
    taken = [
        helper.make_tensor_value_info("tokens", ids, ["batch", "time"]),
        *(helper.make_tensor_value_info(name, number, shape) for name, shape in states.items()),
    ]
    given = [
        helper.make_tensor_value_info("logits", number, ["batch", "time", trained.vocabulary.size]),
        *(helper.make_tensor_value_info(after(name), number, shape) for name, shape in states.items()),
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "jaxrnn", taken, given, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jaxrnn",
        producer_version=jaxrnn.__version__,
    )
    helper.set_model_props(model, {METADATA_KEY: description})
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


class _Operator(NamedTuple):
    """How one of our cells is written with one of ONNX's."""

    name: str
    gates: tuple[int, ...]  # ONNX's gates by the number that each has with us
    states: str  # a letter each, as the fields of our carry
    attributes: dict[str, int]


_OPERATORS = {
    RNNParams: _Operator("RNN", (0,), "h", {}),
    LSTMParams: _Operator("LSTM", (0, 3, 1, 2), "hc", {}),
    GRUParams: _Operator("GRU", (1, 0, 2), "h", {"linear_before_reset": 1}),
}


def _recurrent(graph: _Graph, index: int, params: Params, xs: str) -> str:
    operator, layer = _OPERATORS[type(params)], f"layer_{index}"
    hidden_size, count = params.w_h.shape[0], len(operator.gates)

    def rows(columns: np.ndarray) -> np.ndarray:
        """Gates in columns `[..., count * H]` to gates in rows, in ONNX's order: `[count * H, ...]`."""
        gates = np.split(np.asarray(columns), count, axis=-1)
        return np.concatenate([gates[gate].T for gate in operator.gates])

    recurrent_bias = np.zeros(count * hidden_size, np.float32)
    if isinstance(params, GRUParams):
        recurrent_bias[-hidden_size:] = params.b_n  # the candidate is the last gate with both of us
    weights = {
        "W": rows(params.w_x),
        "R": rows(params.w_h),
        "B": np.concatenate([rows(params.b), recurrent_bias]),
    }
    names = [graph.weight(f"{layer}.{name}", array[None]) for name, array in weights.items()]
    states = [f"{state}_{index}" for state in operator.states]
    before = [graph.node("Unsqueeze", [state, "first_axis"], [f"{layer}.before.{state}"]) for state in states]
    behind = [f"{layer}.after.{state}" for state in states]
    whole_text = ""  # an input that is left out: the lengths of the sequences, where they differ
    graph.node(
        operator.name,
        [xs, *names, whole_text, *before],
        [f"{layer}.hs", *behind],
        hidden_size=hidden_size,
        **operator.attributes,
    )
    for state, name in zip(states, behind, strict=True):
        graph.node("Squeeze", [name, "first_axis"], [after(state)])
    return graph.node("Squeeze", [f"{layer}.hs", "direction_axis"], [layer])


_WRITERS: dict[str, Callable[[_Graph, int, Params, str], str]] = {
    "embedding": _embedding,
    "dense": _dense,
    "rnn": _recurrent,
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn_block": _block,
}
