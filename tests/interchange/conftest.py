"""Models of every kind of layer, and PyTorch where it is installed."""

import os
from types import ModuleType

import jax
import numpy as np
import pytest

from jaxrnn.config import ModelConfig
from jaxrnn.config.reading import read_config
from jaxrnn.data.vocabulary import build_vocabulary, encode
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.types import Params

TEXT = "To be, or not to be: that is the question."
EMBEDDING, DENSE = {"type": "embedding", "size": 6}, {"type": "dense"}
STACKS: dict[str, list[dict]] = {
    "rnn": [{"type": "rnn", "size": 5}],
    "lstm": [{"type": "lstm", "size": 5}],
    "gru": [{"type": "gru", "size": 5}],
    "two layers": [{"type": "lstm", "size": 5}, {"type": "dropout", "rate": 0.5}, {"type": "gru", "size": 7}],
    "dense between": [{"type": "dense", "size": 4}, {"type": "rnn", "size": 3}],
    "blocks": [{"type": "rnn_block", "cell": cell} for cell in ("rnn", "lstm", "gru")],
}


def make_config(layers: list[dict]) -> ModelConfig:
    return read_config({"model": {"layers": [EMBEDDING, *layers, DENSE]}}).model


def make_params(config: ModelConfig, vocabulary_size: int) -> Params:
    """Parameters of which none is zero: a bias that goes astray is noticed."""
    rng = np.random.default_rng(0)
    abstract = jax.eval_shape(lambda: stack.init(jax.random.key(0), config, vocabulary_size))
    return jax.tree.map(lambda leaf: rng.normal(0, 0.7, leaf.shape).astype(np.float32), abstract)


def make_trained(layers: list[dict], *, text: str | bytes = TEXT) -> LanguageModel:
    vocabulary, config = build_vocabulary(text), make_config(layers)
    return LanguageModel(config, make_params(config, vocabulary.size), vocabulary, "shakespeare")


def our_logits(trained: LanguageModel, text: str) -> np.ndarray:
    """The logits of what follows each character, [time, vocabulary]."""
    params = jax.tree.map(jax.numpy.asarray, trained.params)
    ids = encode(trained.vocabulary, text).astype(np.int32)[None]
    carry = stack.initial_carry(trained.config, params, 1)
    return np.asarray(stack.apply(trained.config, params, carry, jax.numpy.asarray(ids))[1][0])


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch. Where there is none, tests are skipped, or fail if JAXRNN_TORCH=required."""
    try:
        import safetensors.torch  # noqa: F401
        import torch
    except ImportError as error:
        why = f"{error}: pip install torch 'jaxrnn[export]'"
        pytest.fail(why) if os.environ.get("JAXRNN_TORCH") == "required" else pytest.skip(why)
    torch.set_num_threads(1)
    return torch
