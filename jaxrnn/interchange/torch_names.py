"""A model's parameters by the names and in the shapes that PyTorch's modules have for them.

Layer N of a config stands under `layers.N.`, as in an `nn.ModuleList` called layers; a block's two parts under
`layers.N.cell.` and `layers.N.linear.`. Matrices are transposed, as PyTorch multiplies from the other side. PyTorch
adds two biases where we have one: the first is ours, the second zero, but for a GRU's candidate, which resets it:

    bias_ih_l0 = b,   bias_hh_l0 = 0            RNN, LSTM
    bias_ih_l0 = b,   bias_hh_l0 = (0, 0, b_n)  GRU
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrnn.config import DropoutConfig, ModelConfig
from jaxrnn.errors import InterchangeError
from jaxrnn.layers.block import CellParams, RNNBlockParams
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.layers.gru import GRUParams
from jaxrnn.layers.lstm import LSTMParams
from jaxrnn.layers.rnn import RNNParams
from jaxrnn.types import Params

Tensors = dict[str, NDArray[np.float32]]

_MODULES: dict[type, str] = {RNNParams: "RNN", LSTMParams: "LSTM", GRUParams: "GRU"}
_TYPES = (
    "embedding",
    "dense",
    "dropout",
    "rnn",
    "lstm",
    "gru",
    "rnn_block",
)  # of layers that PyTorch can compute


def check_torch_has(config: ModelConfig) -> None:
    """Refuses layers that no module of PyTorch computes.

    Raises:
        InterchangeError: There is one; the message names it.
    """
    for index, layer in enumerate(config.layers):
        if layer.type not in _TYPES:
            raise InterchangeError(
                f"layers[{index}] is of type {layer.type}, which no module of PyTorch computes; such a model can't be "
                "written in this format"
            )


def torch_tensors(config: ModelConfig, params: Params) -> Tensors:
    """Returns the parameters by PyTorch's names, float32, each a contiguous array of its own.

    Raises:
        InterchangeError: A layer is of a kind that PyTorch has not.
    """
    check_torch_has(config)
    named: dict[str, Any] = {}
    for index, layer in enumerate(params):
        prefix = f"layers.{index}"
        match layer:
            case EmbeddingParams():
                named[f"{prefix}.weight"] = layer.table
            case DenseParams():
                named |= _linear(prefix, layer)
            case RNNBlockParams():
                named |= _recurrent(f"{prefix}.cell", layer.cell) | _linear(f"{prefix}.linear", layer.dense)
            case RNNParams() | LSTMParams() | GRUParams():
                named |= _recurrent(prefix, layer)
    return {name: np.array(tensor, np.float32, order="C") for name, tensor in named.items()}


def _linear(prefix: str, params: DenseParams) -> dict[str, Any]:
    return {f"{prefix}.weight": params.w.T, f"{prefix}.bias": params.b}


def _recurrent(prefix: str, params: CellParams) -> dict[str, Any]:
    second = np.zeros(params.b.shape, np.float32)
    if isinstance(params, GRUParams):
        second[-params.b_n.size :] = params.b_n
    return {
        f"{prefix}.weight_ih_l0": params.w_x.T,
        f"{prefix}.weight_hh_l0": params.w_h.T,
        f"{prefix}.bias_ih_l0": params.b,
        f"{prefix}.bias_hh_l0": second,
    }


def torch_modules(config: ModelConfig, params: Params) -> list[list[Any]]:
    """Returns how each layer is made in PyTorch: the name of its module, then the arguments.

    A block, which is no module of PyTorch's, is `["Block", the name of its cell's module, size]`.
    """
    made: list[list[Any]] = []
    for layer, layer_params in zip(config.layers, params, strict=True):
        match layer_params:
            case EmbeddingParams():
                made.append(["Embedding", *layer_params.table.shape])
            case DenseParams():
                made.append(["Linear", *layer_params.w.shape])
            case RNNBlockParams():
                cell = layer_params.cell
                made.append(["Block", _MODULES[type(cell)], cell.w_h.shape[0]])
            case RNNParams() | LSTMParams() | GRUParams():
                made.append(
                    [_MODULES[type(layer_params)], layer_params.w_x.shape[0], layer_params.w_h.shape[0]]
                )
            case _:
                assert isinstance(layer, DropoutConfig)  # the only layer without parameters
                made.append(["Dropout", layer.rate])
    return made
