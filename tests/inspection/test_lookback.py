"""Gradient norms by distance against JAX's gradient of the last loss with respect to each earlier state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, RNNBlockConfig
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


def expected(start: int, read: int, back: int) -> dict[tuple[int, str], float]:
    """Norms of the gradient of the loss after `read` characters from `start`, by distance `back` of the state."""
    tokens = jnp.asarray(IDS[start : start + read + 1], jnp.int32)[None]
    carry = stack.initial_carry(CONFIG, PARAMS, 1)
    for t in range(read - back):
        carry, _ = step(CONFIG, PARAMS, None, carry, tokens[:, t])
    return {
        (index, field): float(jnp.linalg.norm(value))
        for index, of_layer in enumerate(gradient(carry, tokens[:, read - back : read], tokens[0, -1]))
        if of_layer
        for field, value in of_layer._asdict().items()
    }


def test_norms_equal_those_of_jax_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookback, "_WARM_UP", 3)
    curves = lookback.look_back(CONFIG, PARAMS, IDS[:10], steps=5)  # one position: 3 + 5 + 2 characters
    assert {(curve.layer, curve.field) for curve in curves} == {(1, "h"), (1, "c"), (2, "h")}
    for back in (2, 5):
        norms = expected(0, 9, back)
        for curve in curves:
            assert curve.norms.shape == (5,)
            assert curve.norms[back - 1] == pytest.approx(norms[curve.layer, curve.field], rel=1e-4)


def test_a_curve_is_the_median_over_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookback, "_WARM_UP", 3)
    curves = lookback.look_back(CONFIG, PARAMS, IDS[:12], steps=5)  # positions 0, 1 and 2
    norms = [expected(start, 9, back=2) for start in range(3)]
    for curve in curves:
        median = np.median([each[curve.layer, curve.field] for each in norms])
        assert curve.norms[1] == pytest.approx(median, rel=1e-4)


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
    open_ = lstm.b.at[4:8].set(50.0).at[:4].set(-50.0)  # f = 1, i = 0: the cell is unchanged
    lstm = lstm._replace(w_h=jnp.zeros_like(lstm.w_h), w_x=jnp.zeros_like(lstm.w_x), b=open_)
    curves = {curve.field: curve.norms for curve in lookback.look_back(config, (embedding, lstm, dense), IDS)}
    np.testing.assert_allclose(curves["c"], curves["c"][0], rtol=1e-3)
    assert curves["c"][0] > 0
    np.testing.assert_array_equal(curves["h"], 0)
