"""Estimates before a training run."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, TrainConfig
from jaxrnn.data.feeding import BLOCK_BYTES
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.models.stack import MOST_LOGITS
from jaxrnn.parallel.targets import TARGETS
from jaxrnn.workflows import Memory, estimate_memory, memory_on, plan


@pytest.mark.parametrize(("layers", "size", "gigabytes"), [(1, 2327, 1), (2, 4824, 8), (1, 22_182, 80)])
def test_the_memory_estimate_agrees_with_the_formula_of_the_docs(
    layers: int, size: int, gigabytes: float
) -> None:
    """docs/scale.md, the widest model."""
    model = ModelConfig(
        layers=(EmbeddingConfig(size=size), *[LSTMConfig(size=size)] * layers, DenseConfig())  # type: ignore[arg-type]
    )
    nothing = np.zeros(0, np.uint8)
    vocabulary = SimpleNamespace(size=65)

    def estimate(train: TrainConfig) -> Memory:
        config = Config(model=model, train=train)
        return estimate_memory(
            SimpleNamespace(config=config, vocabulary=vocabulary, train_ids=nothing, val_ids=nothing)  # type: ignore[arg-type]
        )

    estimated = estimate(TrainConfig(batch_size=32, seq_len=64))
    parameters = 8 * layers * size**2
    assert 4 * (5 * parameters + 7 * layers * size * 32 * 64) == pytest.approx(gigabytes * 1e9, rel=0.001)
    assert estimated.total == pytest.approx(gigabytes * 1e9, rel=0.011)
    twice = estimate(TrainConfig(batch_size=32, seq_len=64, accumulate_steps=2))
    assert twice.total - estimated.total == 4 * estimated.parameters


def test_the_logits_of_an_evaluation_count_where_the_vocabulary_is_large() -> None:
    model = ModelConfig(layers=(EmbeddingConfig(size=8), LSTMConfig(size=8), DenseConfig()))
    config = Config(model=model, train=TrainConfig(batch_size=2, seq_len=8))

    def estimate(vocabulary_size: int, validation_tokens: int) -> Memory:
        vocabulary, ids = SimpleNamespace(size=vocabulary_size), np.zeros(validation_tokens, np.uint16)
        return estimate_memory(
            SimpleNamespace(config=config, vocabulary=vocabulary, train_ids=ids[:0], val_ids=ids)  # type: ignore[arg-type]
        )

    large, without = estimate(20_000, 100_000), estimate(20_000, 0)
    assert without.evaluation == 0
    assert 2 * 4 * MOST_LOGITS * 0.9 < large.evaluation <= 2 * 4 * MOST_LOGITS
    assert large.total == large.state + large.evaluation + large.corpus > 2 * without.total


@pytest.mark.parametrize("streamed", [False, True])
def test_the_memory_on_a_target_is_that_of_the_compiled_program(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(plan, "target_devices", lambda _: jax.devices("cpu")[:1])
    model = ModelConfig(layers=(EmbeddingConfig(size=8), LSTMConfig(size=8), DenseConfig()))
    config = Config(model=model, train=TrainConfig(batch_size=2, seq_len=8))
    data: Any = SimpleNamespace(
        config=config,
        vocabulary=Vocabulary("abc"),
        train_ids=np.zeros(5_000_000, np.uint8),
        is_streamed=streamed,
    )
    ids = 3 * BLOCK_BYTES if streamed else 5_000_000
    assert ids < (memory_on("v5e", data) or 0) < ids + 1_000_000
    monkeypatch.setitem(TARGETS, "v5e", TARGETS["v5e"]._replace(memory=ids))
    assert memory_on("v5e", data) is None


def test_a_program_that_a_compiler_finds_too_large_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm")

    monkeypatch.setattr(plan, "target_devices", lambda _: [])
    monkeypatch.setattr(plan, "compile_steps", fail)
    data: Any = SimpleNamespace(
        config=None, vocabulary=Vocabulary("abc"), train_ids=np.zeros(5, np.uint8), is_streamed=False
    )
    assert memory_on("v6e", data) is None
