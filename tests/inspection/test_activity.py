"""Recorded activations: states, gates and predictions of the model."""

from functools import partial
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
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.evaluation.scoring import score_stateful
from jaxrnn.inspection import activity as inspected
from jaxrnn.inspection.activity import GATES, NAMES, Activity, observe, saturation
from jaxrnn.models import stack

VOCABULARY = 7
IDS = np.random.default_rng(0).integers(0, VOCABULARY, 40).astype(np.uint8)

LAYERS = {
    "rnn": (RNNConfig(size=5),),
    "gru": (GRUConfig(size=5),),
    "lstm": (LSTMConfig(size=5),),
    "mogrifier": (MogrifierLSTMConfig(size=5, rounds=3, rank=2),),
    "documents": (GRUConfig(size=5), MogrifierLSTMConfig(size=5, rounds=1)),
    "blocks": (RNNBlockConfig(cell="gru"), DropoutConfig(rate=0.5), RNNBlockConfig(cell="lstm")),
}


@pytest.fixture(scope="module", params=LAYERS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    layers: Any = (EmbeddingConfig(size=5), *LAYERS[request.param], DenseConfig())
    return ModelConfig(layers=layers)


@pytest.fixture(scope="module")
def vocabulary(config: ModelConfig) -> Vocabulary:
    is_documents = config.layers[1:-1] == LAYERS["documents"]
    return Vocabulary("abcde", separator="abcde"[IDS[20]] if is_documents else "")


@pytest.fixture(scope="module")
def params(config: ModelConfig):
    drawn = stack.init(jax.random.key(1), config, VOCABULARY)
    return jax.tree.map(lambda leaf: leaf * 2, drawn)  # so that gates vary


@pytest.fixture(scope="module")
def activity(config: ModelConfig, params, vocabulary: Vocabulary) -> Activity:
    return observe(config, params, IDS, separator_id=vocabulary.separator_id)


def by_layer(activity: Activity) -> dict[int, dict[str, np.ndarray]]:
    found: dict[int, dict[str, np.ndarray]] = {}
    for track in activity.tracks:
        found.setdefault(track.layer, {})[track.kind] = track.values
    return found


def test_states_equal_those_of_single_steps(config, params, vocabulary, activity) -> None:
    step = jax.jit(stack.step, static_argnums=0)
    carry = stack.initial_carry(config, params, 1)
    carries = []
    for token in IDS:
        resets = jnp.array([token == vocabulary.separator_id])
        carry, _ = step(config, params, None, carry, jnp.array([token], jnp.int32), resets)
        carries.append(carry)
    observed = by_layer(activity)
    recurrent = [index for index, of_layer in enumerate(carry) if of_layer]
    assert list(observed) == recurrent
    for index in recurrent:
        for field in carry[index]._fields:
            states = np.stack([np.asarray(getattr(carry[index], field))[0] for carry in carries])
            np.testing.assert_allclose(observed[index][field], states, atol=1e-5)


def test_states_follow_from_the_gates(vocabulary, activity) -> None:
    def before(states: np.ndarray) -> np.ndarray:
        earlier = np.vstack([np.zeros_like(states[:1]), states[:-1]])
        return np.where((vocabulary.separator_id == IDS).reshape(-1, 1), 0, earlier)

    for of_layer in by_layer(activity).values():
        h_before = before(of_layer["h"])
        if "c" in of_layer:
            i, f, g, o, c = (of_layer[kind] for kind in "ifgoc")
            np.testing.assert_allclose(c, f * before(c) + i * g, atol=1e-5)
            np.testing.assert_allclose(of_layer["h"], o * np.tanh(c), atol=1e-5)
        elif "z" in of_layer:
            z, n = of_layer["z"], of_layer["n"]
            np.testing.assert_allclose(of_layer["h"], (1 - z) * n + z * h_before, atol=1e-5)


def test_surprisal_equals_the_score(config, params, vocabulary, activity) -> None:
    scores = score_stateful(config, params, in_memory(vocabulary, IDS))
    np.testing.assert_allclose(activity.nll, scores.nll, atol=1e-5)
    np.testing.assert_array_equal(activity.ranks, scores.ranks)


def test_predictions_are_the_most_likely_and_agree_with_the_surprisal(activity) -> None:
    assert activity.likeliest.shape == activity.probabilities.shape == (IDS.size, 5)
    assert (np.diff(activity.probabilities, axis=1) <= 0).all()
    for t, (nats, rank) in enumerate(zip(activity.nll, activity.ranks, strict=True)):
        if rank <= 5:
            assert activity.likeliest[t, rank - 1] == IDS[t + 1]
            assert activity.probabilities[t, rank - 1] == pytest.approx(np.exp(-nats), rel=1e-4)
        else:
            assert IDS[t + 1] not in activity.likeliest[t]


def test_every_kind_has_a_name_and_gates_are_in_0_to_1(activity) -> None:
    for track in activity.tracks:
        assert track.kind in NAMES
        low = 0 if track.kind in GATES else -1 if track.kind != "c" else -np.inf
        assert (track.values >= low).all()
        assert track.kind == "c" or (track.values <= 1).all()


def test_linear_recurrences_show_their_gates() -> None:
    cells = MinGRUConfig(size=5), MinLSTMConfig(size=5), RGLRUConfig()
    config = ModelConfig(layers=(EmbeddingConfig(size=5), *cells, DenseConfig()))
    activity = observe(config, stack.init(jax.random.key(0), config, VOCABULARY), IDS)
    kinds = {layer: set(of_layer) for layer, of_layer in by_layer(activity).items()}
    assert kinds == {1: {"h", "z"}, 2: {"h", "i", "f"}, 3: {"h", "a", "i"}}
    for track in activity.tracks:
        assert track.kind in GATES or track.kind == "h"
        assert track.kind == "h" or ((track.values > 0) & (track.values < 1)).all()


def test_a_single_character_has_a_state_and_no_surprisal() -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=5), RNNConfig(size=5), DenseConfig()))
    activity = observe(config, stack.init(jax.random.key(0), config, 3), np.array([1]))
    assert activity.nll.shape == (0,)
    assert activity.likeliest.shape == (1, 3)  # at most 3 of 3 characters
    assert activity.tracks[0].values.shape == (1, 5)


def test_logits_of_a_long_text_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(layers=(EmbeddingConfig(size=5), RNNConfig(size=5), DenseConfig()))
    params, ids = stack.init(jax.random.key(0), config, 500), np.arange(300, dtype=np.int32)
    jitted: Any = inspected._observe
    found, bytes_used = [], []
    for most in (stack.MOST_LOGITS, 500 * 7):
        monkeypatch.setattr(stack, "MOST_LOGITS", most)
        read = jax.jit(partial(jitted.__wrapped__, config, 3, None))
        compiled = read.lower(params, ids).compile()
        found.append(jax.tree.leaves(compiled(params, ids)))
        memory: Any = compiled.memory_analysis()
        bytes_used.append(memory.temp_size_in_bytes)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert bytes_used[1] < bytes_used[0] / 5


def test_saturation_counts_gates_below_0_1_and_above_0_9() -> None:
    shut, open_ = saturation(np.array([[0.05, 0.5], [0.95, 0.5], [0.99, 0.91], [0.2, 0.0]]))
    np.testing.assert_allclose(shut, [0.25, 0.25])
    np.testing.assert_allclose(open_, [0.5, 0.25])
