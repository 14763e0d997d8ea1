"""A training step, an evaluation and a sample work under each of JAX's strict settings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import jax
import numpy as np
import pytest

from jaxrnn.config import (
    Config,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
    TrainConfig,
)
from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import build_vocabulary, encode, with_separator
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.sampling.text import generate
from jaxrnn.training.loop import Save, train
from jaxrnn.training.state import init_state

# 64-bit types are left out because they change the programs. All tests use strict dtype promotion.
SETTINGS: dict[str, tuple[Callable[[], AbstractContextManager[Any]], ...]] = {
    "strict": (
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.debug_key_reuse(True),
        lambda: jax.transfer_guard("disallow"),
        lambda: jax.debug_nans(True),
    ),
    "64 bits": (lambda: jax.enable_x64(True),),
}
LAYERS = (
    EmbeddingConfig(size=4),
    DropoutConfig(rate=0.2),
    RNNConfig(size=4),
    LSTMConfig(size=4, recurrent_dropout=0.2),
    GRUConfig(size=4),
    MogrifierLSTMConfig(size=4, rounds=2),
    RNNBlockConfig(cell="gru"),
    MinGRUConfig(size=4),
    MinLSTMConfig(size=4),
    RGLRUConfig(),
    DenseConfig(),
)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_model_is_trained_evaluated_and_sampled(name: str) -> None:
    text = "to be or not to be, " * 20
    vocabulary = with_separator(build_vocabulary(text), ",")
    tokens = in_memory(vocabulary, encode(vocabulary, text))
    options = TrainConfig(
        steps=2, batch_size=2, seq_len=8, sample_every=0, accumulate_steps=2, reset_rate=0.1
    )
    config = Config(model=ModelConfig(layers=LAYERS), train=options)
    with ExitStack() as stack:
        for setting in SETTINGS[name]:
            stack.enter_context(setting())
        state = init_state(config, vocabulary.size)
        events = list(train(config, state, tokens.part(0, 300), tokens.part(300, 400)))
        last = events[-1]
        assert isinstance(last, Save)
        assert last.val_loss is not None and np.isfinite(last.val_loss)
        model = LanguageModel(config.model, last.state.params, vocabulary)
        assert len(generate(model, "to", length=5, top_k=3)) == 5
