"""The cost of a unit, against weights in which its rows are zero and biases contain its mean."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    MLSTMConfig,
    ModelConfig,
    ResidualConfig,
    RMSNormConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.inspection import ablation
from jaxrnn.inspection.ablation import ablate
from jaxrnn.inspection.activity import observe
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack

VOCABULARY, SEPARATOR = 6, 2
IDS = np.random.default_rng(0).integers(0, VOCABULARY, 40).astype(np.uint8)


def drawn(*layers: Any) -> tuple[ModelConfig, Any]:
    config = ModelConfig(layers=(EmbeddingConfig(size=4), *layers, DenseConfig()))
    # Biases too, so that units have a mean.
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: stack.init(key, config, VOCABULARY), jax.random.key(0))
    return config, jax.tree.map(lambda leaf: rng.normal(0, 0.7, leaf.shape).astype(np.float32), shapes)


def costs(config: ModelConfig, params: Any, separator_id: int | None = None) -> dict[int, np.ndarray]:
    tracks = observe(config, params, IDS, separator_id=separator_id).tracks
    return {each.layer: each.costs for each in ablate(config, params, IDS, tracks, separator_id)}


def mean_nll(config: ModelConfig, params: Any, separator_id: int | None = None) -> float:
    tokens = jnp.asarray(IDS[None], jnp.int32)
    carry, resets = stack.initial_carry(config, params, 1), find_resets(tokens, separator_id)
    _, logits = jax.jit(stack.apply, static_argnums=0)(config, params, carry, tokens, None, resets)
    return float(softmax_cross_entropy(logits[:, :-1], tokens[:, 1:]).mean())


def absorbed(w: np.ndarray, b: np.ndarray, unit: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights that do not read a unit, and biases with its mean in its place."""
    return np.where(np.arange(len(w))[:, None] == unit, 0, w).astype(w.dtype), b + mean * w[unit]


def without_unit(cell: Any, reader: Any, unit: int, mean: float) -> tuple[Any, Any]:
    """A cell and the dense layer above it, with the unit's rows taken out."""
    if hasattr(cell, "w_h"):
        w_h, b = absorbed(cell.w_h, cell.b, unit, mean)
        cell = cell._replace(w_h=w_h, b=b)
    w, b = absorbed(reader.w, reader.b, unit, mean)
    return cell, reader._replace(w=w, b=b)


@pytest.mark.parametrize("separator_id", [None, SEPARATOR])
@pytest.mark.parametrize("layer", [RNNConfig(size=3), LSTMConfig(size=3), MLSTMConfig(size=4, heads=2)])
def test_a_cost_equals_that_of_weights_without_the_unit(layer: Any, separator_id: int | None) -> None:
    config, (embedding, cell, reader) = drawn(layer)
    params = embedding, cell, reader
    (track,) = [t for t in observe(config, params, IDS, separator_id=separator_id).tracks if t.kind == "h"]
    whole = mean_nll(config, params, separator_id)
    expected = [
        mean_nll(config, (embedding, *without_unit(cell, reader, unit, mean)), separator_id) - whole
        for unit, mean in enumerate(track.values.mean(axis=0))
    ]
    assert np.abs(expected).max() > 0.005
    np.testing.assert_allclose(costs(config, params, separator_id)[1], expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_block_and_a_residual_layer_have_the_costs_of_their_cell(cell: str) -> None:
    config, params = drawn(RNNBlockConfig(cell=cell), LSTMConfig(size=3))
    embedding, block, *above = params
    (track,) = [t for t in observe(config, params, IDS).tracks if (t.layer, t.kind) == (1, "h")]
    expected = []
    for unit, mean in enumerate(track.values.mean(axis=0)):
        changed = type(block)(*without_unit(block.cell, block.dense, unit, mean))
        expected.append(mean_nll(config, (embedding, changed, *above)) - mean_nll(config, params))
    found = costs(config, params)
    np.testing.assert_allclose(found[1], expected, rtol=1e-3, atol=2e-5)

    inside = {"rnn": RNNConfig, "lstm": LSTMConfig}[cell](size=4), DenseConfig(size=4)
    residual = ModelConfig(layers=(config.layers[0], ResidualConfig(layers=inside), *config.layers[2:]))
    same = costs(residual, (embedding, tuple(block), *above))
    np.testing.assert_allclose(same[1], found[1], rtol=1e-3, atol=2e-5)
    np.testing.assert_allclose(same[2], found[2], rtol=1e-3, atol=2e-5)


def test_every_recurrent_layer_has_a_cost_for_each_unit() -> None:
    nested = ResidualConfig(layers=(RMSNormConfig(), ResidualConfig(layers=(GRUConfig(size=4),))))
    found = costs(*drawn(nested, RMSNormConfig(), GRUConfig(size=5)))
    assert {layer: values.shape for layer, values in found.items()} == {1: (4,), 3: (5,)}
    assert all(np.isfinite(values).all() and values.any() for values in found.values())


def test_a_large_model_reads_the_first_characters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    config, params = drawn(RNNConfig(size=3))
    tracks = observe(config, params, IDS).tracks
    monkeypatch.setattr(ablation, "_STATE_WORK", 0)
    monkeypatch.setattr(ablation, "_MOST_WORK", 30 * 3 * stack.count_parameters(params))
    (found,) = ablate(config, params, IDS, tracks)
    assert found.characters == 30
    (alone,) = ablate(config, params, IDS[:30], tracks)
    np.testing.assert_array_equal(found.costs, alone.costs)


def test_units_in_several_batches_have_the_same_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    config, params = drawn(RNNConfig(size=3))
    whole = costs(config, params)
    monkeypatch.setattr(ablation, "_AT_ONCE", 2)
    np.testing.assert_allclose(costs(config, params)[1], whole[1], rtol=1e-4, atol=1e-6)


def test_a_text_of_one_character_has_no_cost() -> None:
    config, params = drawn(RNNConfig(size=3))
    assert ablate(config, params, IDS[:1], observe(config, params, IDS[:1]).tracks) == []
