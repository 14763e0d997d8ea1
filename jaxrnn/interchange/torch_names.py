"""A model's parameters by the names and in the shapes that PyTorch's modules have for them, and back.

Layer N of a config stands under `layers.N.`, as in an `nn.ModuleList` called layers; a block's two parts under
`layers.N.cell.` and `layers.N.linear.`. Matrices are transposed, as PyTorch multiplies from the other side. PyTorch
adds two biases where we have one: the first is ours, the second zero, but for a GRU's candidate, which resets it:

    bias_ih_l0 = b,   bias_hh_l0 = 0            RNN, LSTM
    bias_ih_l0 = b,   bias_hh_l0 = (0, 0, b_n)  GRU
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrnn.config import ModelConfig
from jaxrnn.errors import InterchangeError
from jaxrnn.layers.block import RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.gru import GRUParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.types import Params

Tensors = dict[str, NDArray[np.float32]]


def torch_modules(config: ModelConfig, vocabulary_size: int) -> list[list[Any]]:
    """Return how each layer is made in PyTorch: the name of its module, then the arguments.

    A block, which PyTorch has no module for, is `["Block", the name of its cell's module, size]`.

    Raises:
        InterchangeError: No module of PyTorch computes a layer; the message names it.
    """
    made: list[list[Any]] = []
    size = vocabulary_size
    layers: tuple[Any, ...] = config.layers
    for index, layer in enumerate(layers):
        before, size = size, layer.output_size(size)
        match layer.type:
            case "embedding":
                made.append(["Embedding", before, size])
            case "dense":
                made.append(["Linear", before, layer.size or vocabulary_size])
            case "dropout":
                made.append(["Dropout", layer.rate])
            case "rnn_block":
                made.append(["Block", layer.cell.upper(), size])
            case "rnn" | "lstm" | "gru":
                made.append([layer.type.upper(), before, size])
            case _:
                problem = f"layers[{index}] is of type {layer.type}, which no module of PyTorch computes"
                raise InterchangeError(f"{problem}; such a model can't be written in this format")
    return made


def torch_tensors(params: Params) -> Tensors:
    """Return the parameters by PyTorch's names, float32, each a contiguous array of its own."""
    named: dict[str, Any] = {}
    for index, layer in enumerate(params):
        named |= _named(f"layers.{index}", layer)
    return {name: np.array(tensor, np.float32, order="C") for name, tensor in named.items()}


def _named(prefix: str, params: Params) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    match params:
        case RNNBlockParams(cell, dense):
            return _named(f"{prefix}.cell", cell) | _named(f"{prefix}.linear", dense)
        case EmbeddingParams(table):
            tensors = {"weight": table}
        case DenseParams(w, b):
            tensors = {"weight": w.T, "bias": b}
        case RNNParams(w_x, w_h, b) | LSTMParams(w_x, w_h, b) | GRUParams(w_x, w_h, b):
            second = np.zeros(b.shape, np.float32)
            if isinstance(params, GRUParams):
                second[-params.b_n.size :] = params.b_n
            tensors = {"weight_ih_l0": w_x.T, "weight_hh_l0": w_h.T, "bias_ih_l0": b, "bias_hh_l0": second}
    return {f"{prefix}.{part}": tensor for part, tensor in tensors.items()}


def module_params(kind: str, tensors: Mapping[str, Any]) -> Params:
    """Return the parameters of one of PyTorch's modules.

    Args:
        kind: the name of the module: Embedding, Linear, RNN, LSTM or GRU.
        tensors: its tensors by `weight`, `bias`, `weight_ih` and so on; without biases, ours are zero.
    """
    if kind == "Embedding":
        return EmbeddingParams(tensors["weight"])
    if kind == "Linear":
        w: Any = np.ascontiguousarray(tensors["weight"].T)
        return DenseParams(w, tensors.get("bias", np.zeros(w.shape[1], w.dtype)))
    w_x: Any = np.ascontiguousarray(tensors["weight_ih"].T)
    w_h: Any = np.ascontiguousarray(tensors["weight_hh"].T)
    none: Any = np.zeros(w_h.shape[1], w_h.dtype)
    first, second = (tensors.get(name, none) for name in ("bias_ih", "bias_hh"))
    if kind == "GRU":
        b_n = second[-len(w_h) :]
        return GRUParams(w_x, w_h, first + np.append(second[: -len(w_h)], 0 * b_n), b_n)
    return (LSTMParams if kind == "LSTM" else RNNParams)(w_x, w_h, first + second)
