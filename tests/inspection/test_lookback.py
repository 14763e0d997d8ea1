"""Gradient norms by distance against JAX's gradient of the last loss with respect to each earlier state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, MinGRUConfig, ModelConfig, RNNBlockConfig
from jaxrnn.inspection import lookback
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.types import Carry

VOCABULARY = 6
CONFIG = ModelConfig(
    layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), RNNBlockConfig(cell="rnn"), DenseConfig())
)
PARAMS = stack.init(jax.random.key(0), CONFIG, VOCABULARY)
IDS = np.random.default_rng(0).integers(0, VOCABULARY, 30).astype(np.uint8)
step = jax.jit(stack.step, static_argnums=0)


@jax.jit
def gradient(carry: Carry, tokens: jax.Array, target: jax.Array) -> Carry:
    """The gradient of the loss of `target` after `tokens` with respect to the carry before them."""

    def loss(carry: Carry) -> jax.Array:
        _, logits = stack.apply(CONFIG, PARAMS, carry, tokens)
        return softmax_cross_entropy(logits[0, -1], target)

    return jax.grad(loss)(carry)


def carries(start: int, read: int) -> list[Carry]:
    """The carry before each of `read` characters from `start`."""
    found = [stack.initial_carry(CONFIG, PARAMS, 1)]
    for token in IDS[start : start + read - 1]:
        found.append(step(CONFIG, PARAMS, None, found[-1], jnp.array([token], jnp.int32))[0])
    return found


def expected(starts: range, read: int, steps: int, back: int) -> dict[tuple[int, str], float]:
    """Medians over the starts of the norms of the gradient of the loss after `read` characters, by state `back` before.

    Each unit's gradient is multiplied by the standard deviation of its last `steps` states.
    """
    norms: dict[tuple[int, str], list[float]] = {}
    deviations = jax.tree.map(
        lambda *states: np.std(np.stack(states), axis=(0, 1)),
        *(carry for start in starts for carry in carries(start, read)[-steps:]),
    )
    for start in starts:
        tokens = jnp.asarray(IDS[start : start + read + 1], jnp.int32)[None]
        d_carry = gradient(carries(start, read)[read - back], tokens[:, read - back : read], tokens[0, -1])
        for index, (of_layer, deviation) in enumerate(zip(d_carry, deviations, strict=True)):
            for field in getattr(of_layer, "_fields", ()):
                scaled = getattr(of_layer, field) * getattr(deviation, field)
                norms.setdefault((index, field), []).append(float(jnp.linalg.norm(scaled)))
    return {place: float(np.median(values)) for place, values in norms.items()}


@pytest.mark.parametrize("places", [1, 3])
def test_norms_equal_the_median_of_jax_gradients_per_standard_deviation(
    places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookback, "_WARM_UP", 3)
    curves = lookback.look_back(CONFIG, PARAMS, IDS[: 9 + places], steps=5)  # each reads 3 + 5 + 1 characters
    assert {(curve.layer, curve.field) for curve in curves} == {(1, "h"), (1, "c"), (2, "h")}
    for back in (2, 5):
        norms = expected(range(places), 9, 5, back)
        for curve in curves:
            assert curve.norms.shape == (5,)
            assert curve.norms[back - 1] == pytest.approx(norms[curve.layer, curve.field], rel=1e-4)


def test_a_state_of_other_units_has_the_same_curve() -> None:
    """The hidden state of a larger scale, which the layer above divides again, matters as much per deviation."""
    config = ModelConfig(layers=(EmbeddingConfig(size=4), MinGRUConfig(size=4), DenseConfig()))
    embedding, gru, dense = stack.init(jax.random.key(0), config, VOCABULARY)
    found = []
    for scale in (1, 30):
        larger = gru._replace(w_x=gru.w_x.at[:, 4:].multiply(scale), b=gru.b.at[4:].set(1e3 * scale))
        params = (embedding, larger, dense._replace(w=dense.w / scale))
        found.append(lookback.look_back(config, params, IDS)[0].norms)
    np.testing.assert_allclose(found[0][:3], found[1][:3], rtol=0.05)


@pytest.mark.parametrize(("length", "steps"), [(0, 0), (2, 0), (3, 1)])
def test_a_short_text_limits_the_distance(length: int, steps: int) -> None:
    curves = lookback.look_back(CONFIG, PARAMS, IDS[:length])
    assert [curve.norms.size for curve in curves] == ([steps] * 3 if steps else [])


def test_the_gradient_is_zero_beyond_a_separator() -> None:
    documents = np.tile([1, 2, 2, 2], 40).astype(np.uint8)
    curves = lookback.look_back(CONFIG, PARAMS, documents, separator_id=1)
    assert curves
    for curve in curves:
        assert (curve.norms[3:] == 0).all()
    assert all(curve.norms[3] > 0 for curve in lookback.look_back(CONFIG, PARAMS, documents))


def test_an_open_forget_gate_preserves_the_gradient() -> None:
    """With every forget gate open and w_h zero, the cell's gradient is the same at any distance."""
    config = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), DenseConfig()))
    embedding, lstm, dense = stack.init(jax.random.key(0), config, VOCABULARY)
    open_ = lstm.b.at[4:8].set(50.0)  # f = 1: the cell is only added to
    lstm = lstm._replace(w_h=jnp.zeros_like(lstm.w_h), b=open_)
    curves = {curve.field: curve.norms for curve in lookback.look_back(config, (embedding, lstm, dense), IDS)}
    np.testing.assert_allclose(curves["c"], curves["c"][0], rtol=1e-3)
    assert curves["c"][0] > 0
    np.testing.assert_array_equal(curves["h"], 0)
