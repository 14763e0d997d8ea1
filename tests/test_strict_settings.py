"""A training step, an evaluation and a sample work under each of JAX's strict settings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxrnn.config import (
    CausalConvConfig,
    Config,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GatedMLPConfig,
    GRUConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    MLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    ResidualConfig,
    RGLRUConfig,
    RMSNormConfig,
    RNNBlockConfig,
    RNNConfig,
    SLSTMConfig,
    TrainConfig,
)
from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import build_vocabulary, encode, with_separator
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.sampling.text import generate
from jaxrnn.training.loop import Save, train
from jaxrnn.training.state import init_state
from jaxrnn.workflows import finetune, pretrain

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
    SLSTMConfig(size=4, heads=2, recurrent_dropout=0.2),
    ResidualConfig(layers=(RMSNormConfig(), CausalConvConfig(), MLSTMConfig(size=4, heads=2))),
    ResidualConfig(layers=(RMSNormConfig(), GatedMLPConfig(hidden=4), DropoutConfig(rate=0.2))),
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


def test_a_run_is_fine_tuned_on_new_characters_without_reusing_a_key(tmp_path: Path) -> None:
    (tmp_path / "first.txt").write_text("to be or not to be, " * 20, encoding="utf-8")
    (tmp_path / "second.txt").write_text("who's there? a mouse! " * 20, encoding="utf-8")
    layers = (EmbeddingConfig(size=4), DropoutConfig(rate=0.2), LSTMConfig(size=4), DenseConfig())
    options = TrainConfig(steps=2, batch_size=2, seq_len=8, sample_every=0)
    config = Config(model=ModelConfig(layers=layers), train=options)
    with jax.debug_key_reuse(True), jax.numpy_rank_promotion("raise"):
        pretrain(config, {"corpus.text": str(tmp_path / "first.txt")}, to=tmp_path / "run")
        sizes = {"train.steps": 2, "train.batch_size": 2, "train.seq_len": 8}
        tuned = finetune(tmp_path / "run", tmp_path / "second.txt", sizes)
    assert "?" in tuned.model().vocabulary.characters
