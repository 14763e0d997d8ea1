"""Saliency against differences of log-probabilities: the forward pass alone, with one embedding scaled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    MLSTMConfig,
    ModelConfig,
    RNNBlockConfig,
)
from jaxrnn.inspection import saliency as inspected
from jaxrnn.inspection.saliency import saliency
from jaxrnn.models import stack

VOCABULARY = 6
IDS = np.random.default_rng(0).integers(0, VOCABULARY, 23).astype(np.uint8)
SEPARATOR = int(IDS[9])
STACKS: dict[str, Any] = {
    "lstm and gru": (LSTMConfig(size=5), DropoutConfig(rate=0.5), GRUConfig(size=4)),
    "mlstm": (MLSTMConfig(size=4, heads=2),),
    "blocks": (RNNBlockConfig(cell="rnn"), RNNBlockConfig(cell="lstm")),
}


@pytest.fixture(scope="module", params=STACKS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return ModelConfig(layers=(EmbeddingConfig(size=4), *STACKS[request.param], DenseConfig()))


@pytest.fixture(scope="module")
def params(config: ModelConfig):
    return jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(1), config, VOCABULARY))


def log_probability(
    config: ModelConfig, params, place: int, target: int, factor: float, separator: int | None
):
    """log p of the token at `target` where the embedding at `place` is multiplied by a factor: a token of its own."""
    embedding, *others = params
    scaled = embedding.table[IDS[place]] * factor
    table = jnp.concatenate([embedding.table, scaled[None]])
    tokens = IDS.astype(np.int32).copy()
    tokens[place] = VOCABULARY
    resets = None if separator is None else jnp.asarray(separator == IDS[None, :target])
    _, logits = jax.jit(stack.apply, static_argnums=0)(
        config,
        (embedding._replace(table=table), *others),
        stack.initial_carry(config, params, 1),
        jnp.asarray(tokens[None, :target]),
        None,
        resets,
    )
    return float(jax.nn.log_softmax(logits[0, -1])[IDS[target]])


@pytest.mark.parametrize("separator", [None, SEPARATOR])
def test_contributions_equal_differences_of_log_probabilities(
    config: ModelConfig, params, separator: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspected, "_BLOCK", 8)  # windows in different blocks, and a block that is not full
    back, step = 7, 0.02
    found = saliency(config, params, IDS, back, separator)
    assert found.shape == (IDS.size, back)
    for target in (1, 5, 12, 22):
        for k in (1, 2, 6):
            if target - k < 0:
                assert found[target, k - 1] == 0
                continue
            more, less = (
                log_probability(config, params, target - k, target, 1 + sign * step, separator)
                for sign in (1, -1)
            )
            assert found[target, k - 1] == pytest.approx((more - less) / (2 * step), abs=2e-4, rel=2e-2)


def test_nothing_before_a_separator_contributes() -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=5), DenseConfig()))
    params = stack.init(jax.random.key(1), config, 3)
    ids = np.array([1, 2, 0, 1, 2, 2], np.uint8)
    found = saliency(config, params, ids, back=5, separator_id=0)
    assert (found[5] != 0).tolist() == [True, True, True, False, False]  # the separator is the third
    assert (found[0] == 0).all()


def test_a_large_model_has_the_first_characters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=5), DenseConfig()))
    params = stack.init(jax.random.key(1), config, VOCABULARY)
    ids = np.tile(IDS, 10)
    whole = saliency(config, params, ids, back=3)
    monkeypatch.setattr(inspected, "_MOST_WORK", 100 * 3 * stack.count_parameters(params))
    np.testing.assert_array_equal(saliency(config, params, ids, back=3), whole[:100])
