"""Recurrent language models in JAX that you can read, verify and train fast.

Public names are resolved when they are first used (PEP 562): `import jaxrnn` does not import jax.
"""

import importlib
from typing import Any

__version__ = "0.2.0"

# The public names by the module that defines them, and the packages; `__init__.pyi` has them for type checkers.
_PUBLIC = {
    "layers.block": ("RNNBlockParams", "init_rnn_block", "rnn_block", "rnn_block_carry", "rnn_block_step"),
    "layers.dense": ("DenseParams", "dense", "init_dense"),
    "layers.dropout": ("dropout",),
    "layers.embedding": ("EmbeddingParams", "embedding", "init_embedding"),
    "layers.gru": ("GRUCarry", "GRUParams", "gru", "gru_carry", "init_gru", "gru_step"),
    "layers.linear_scan": ("linear_scan",),
    "layers.losses": ("softmax_cross_entropy",),
    "layers.lstm": ("LSTMCarry", "LSTMParams", "init_lstm", "lstm", "lstm_carry", "lstm_step"),
    "layers.min_gru": (
        "MinGRUCarry",
        "MinGRUParams",
        "init_min_gru",
        "min_gru",
        "min_gru_carry",
        "min_gru_step",
    ),
    "layers.min_lstm": (
        "MinLSTMCarry",
        "MinLSTMParams",
        "init_min_lstm",
        "min_lstm",
        "min_lstm_carry",
        "min_lstm_step",
    ),
    "layers.mlstm": ("MLSTMCarry", "MLSTMParams", "init_mlstm", "mlstm", "mlstm_carry", "mlstm_step"),
    "layers.mogrifier": (
        "MogrifierLSTMParams",
        "MogrifierRound",
        "init_mogrifier_lstm",
        "mogrifier_lstm",
        "mogrifier_lstm_step",
    ),
    "layers.rnn": ("RNNCarry", "RNNParams", "init_rnn", "rnn", "rnn_carry", "rnn_step"),
    "layers.causal_conv": (
        "CausalConvCarry",
        "CausalConvParams",
        "causal_conv",
        "causal_conv_carry",
        "causal_conv_step",
        "init_causal_conv",
    ),
    "layers.gated_mlp": ("GatedMLPParams", "gated_mlp", "init_gated_mlp"),
    "layers.rg_lru": ("RGLRUCarry", "RGLRUParams", "init_rg_lru", "rg_lru", "rg_lru_carry", "rg_lru_step"),
    "layers.rms_norm": ("RMSNormParams", "init_rms_norm", "rms_norm"),
    "layers.slstm": ("SLSTMCarry", "SLSTMParams", "init_slstm", "slstm", "slstm_carry", "slstm_step"),
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
    *("config", "data", "errors", "evaluation", "gradcheck", "inspection", "interchange", "layers"),
    *("loggers", "models", "parallel", "play", "reference", "runs", "sampling", "training", "workflows"),
)


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
