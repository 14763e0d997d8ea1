"""Recurrent language models in JAX that you can read, verify and train fast.

Public names are resolved when they are first used (PEP 562): `import jaxrnn` does not import jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# The public names by the module that defines them, and the packages.
_PUBLIC = {
    "layers.block": ("RNNBlockParams", "init_rnn_block", "rnn_block", "rnn_block_carry", "rnn_block_step"),
    "layers.dense": ("DenseParams", "dense", "init_dense"),
    "layers.dropout": ("dropout",),
    "layers.embedding": ("EmbeddingParams", "embedding", "init_embedding"),
    "layers.gru": ("GRUCarry", "GRUParams", "gru", "gru_carry", "init_gru", "gru_step"),
    "layers.losses": ("softmax_cross_entropy",),
    "layers.lstm": ("LSTMCarry", "LSTMParams", "init_lstm", "lstm", "lstm_carry", "lstm_step"),
    "layers.mogrifier": (
        "MogrifierLSTMParams",
        "MogrifierRound",
        "init_mogrifier_lstm",
        "mogrifier_lstm",
        "mogrifier_lstm_step",
    ),
    "layers.rnn": ("RNNCarry", "RNNParams", "init_rnn", "rnn", "rnn_carry", "rnn_step"),
    "training.step": ("make_step",),
    "models.language_model": ("LanguageModel",),
    "evaluation.scoring": ("Scores", "score"),
    "inspection.activity": ("activations",),
    "runs.loading": ("load",),
    "sampling.text": ("generate", "stream"),
    "workflows.run": ("Run",),
    "workflows.pretrain": ("pretrain",),
    "workflows.finetune": ("finetune",),
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}
_PACKAGES = (
    "config",
    "data",
    "errors",
    "evaluation",
    "gradcheck",
    "inspection",
    "interchange",
    "layers",
    "models",
    "parallel",
    "play",
    "reference",
    "runs",
    "sampling",
    "training",
    "workflows",
)

if TYPE_CHECKING:
    from jaxrnn import config as config
    from jaxrnn import data as data
    from jaxrnn import errors as errors
    from jaxrnn import evaluation as evaluation
    from jaxrnn import gradcheck as gradcheck
    from jaxrnn import inspection as inspection
    from jaxrnn import interchange as interchange
    from jaxrnn import layers as layers
    from jaxrnn import models as models
    from jaxrnn import parallel as parallel
    from jaxrnn import play as play
    from jaxrnn import reference as reference
    from jaxrnn import runs as runs
    from jaxrnn import sampling as sampling
    from jaxrnn import training as training
    from jaxrnn import workflows as workflows
    from jaxrnn.evaluation.scoring import Scores as Scores
    from jaxrnn.evaluation.scoring import score as score
    from jaxrnn.inspection.activity import activations as activations
    from jaxrnn.layers.block import RNNBlockParams as RNNBlockParams
    from jaxrnn.layers.block import init_rnn_block as init_rnn_block
    from jaxrnn.layers.block import rnn_block as rnn_block
    from jaxrnn.layers.block import rnn_block_carry as rnn_block_carry
    from jaxrnn.layers.block import rnn_block_step as rnn_block_step
    from jaxrnn.layers.dense import DenseParams as DenseParams
    from jaxrnn.layers.dense import dense as dense
    from jaxrnn.layers.dense import init_dense as init_dense
    from jaxrnn.layers.dropout import dropout as dropout
    from jaxrnn.layers.embedding import EmbeddingParams as EmbeddingParams
    from jaxrnn.layers.embedding import embedding as embedding
    from jaxrnn.layers.embedding import init_embedding as init_embedding
    from jaxrnn.layers.gru import GRUCarry as GRUCarry
    from jaxrnn.layers.gru import GRUParams as GRUParams
    from jaxrnn.layers.gru import gru as gru
    from jaxrnn.layers.gru import gru_carry as gru_carry
    from jaxrnn.layers.gru import gru_step as gru_step
    from jaxrnn.layers.gru import init_gru as init_gru
    from jaxrnn.layers.losses import softmax_cross_entropy as softmax_cross_entropy
    from jaxrnn.layers.lstm import LSTMCarry as LSTMCarry
    from jaxrnn.layers.lstm import LSTMParams as LSTMParams
    from jaxrnn.layers.lstm import init_lstm as init_lstm
    from jaxrnn.layers.lstm import lstm as lstm
    from jaxrnn.layers.lstm import lstm_carry as lstm_carry
    from jaxrnn.layers.lstm import lstm_step as lstm_step
    from jaxrnn.layers.mogrifier import MogrifierLSTMParams as MogrifierLSTMParams
    from jaxrnn.layers.mogrifier import MogrifierRound as MogrifierRound
    from jaxrnn.layers.mogrifier import init_mogrifier_lstm as init_mogrifier_lstm
    from jaxrnn.layers.mogrifier import mogrifier_lstm as mogrifier_lstm
    from jaxrnn.layers.mogrifier import mogrifier_lstm_step as mogrifier_lstm_step
    from jaxrnn.layers.rnn import RNNCarry as RNNCarry
    from jaxrnn.layers.rnn import RNNParams as RNNParams
    from jaxrnn.layers.rnn import init_rnn as init_rnn
    from jaxrnn.layers.rnn import rnn as rnn
    from jaxrnn.layers.rnn import rnn_carry as rnn_carry
    from jaxrnn.layers.rnn import rnn_step as rnn_step
    from jaxrnn.models.language_model import LanguageModel as LanguageModel
    from jaxrnn.runs.loading import load as load
    from jaxrnn.sampling.text import generate as generate
    from jaxrnn.sampling.text import stream as stream
    from jaxrnn.training.step import make_step as make_step
    from jaxrnn.workflows.finetune import finetune as finetune
    from jaxrnn.workflows.pretrain import pretrain as pretrain
    from jaxrnn.workflows.run import Run as Run


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"jaxrnn.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'jaxrnn' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jaxrnn.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_MODULES, *_PACKAGES]
