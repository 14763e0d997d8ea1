"""A stack gives equal logits for a sequence, its pieces and single steps, with and without a projected table."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.gradcheck.cases import plain_stack
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.models.registry import LAYERS
from jaxrnn.types import Carry, Params

VOCABULARY, BATCH, TIME = 5, 3, 8
apply = jax.jit(stack.apply, static_argnums=0)
step = jax.jit(stack.step, static_argnums=0)
plain = jax.jit(plain_stack, static_argnums=0)
SECOND: dict[str, LayerConfig] = {
    "rnn": RNNConfig(size=4),
    "lstm": LSTMConfig(size=4),
    "gru": GRUConfig(size=4),
    "block": RNNBlockConfig(cell="gru"),
    "mogrifier": MogrifierLSTMConfig(size=4, rounds=3, rank=2),
    "min_gru": MinGRUConfig(size=4),
    "min_lstm": MinLSTMConfig(size=4),
    "rg_lru": RGLRUConfig(),
    "dense": DenseConfig(size=4),
}


def layers_of(*layers: LayerConfig) -> ModelConfig:
    return ModelConfig(layers=(EmbeddingConfig(size=4), *layers, DenseConfig()))


def above_it(name: str) -> ModelConfig:
    """An RNN above the layer; tests that use this config share its programs."""
    return layers_of(SECOND[name], RNNConfig(size=3))


def begin(config: ModelConfig) -> tuple[Params, Carry, jax.Array]:
    params = stack.init(jax.random.key(0), config, VOCABULARY)
    tokens = jax.random.randint(jax.random.key(1), (BATCH, TIME), 0, VOCABULARY)
    return params, stack.initial_carry(config, params, BATCH), tokens


def assert_close(a: object, b: object) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b)


@pytest.mark.parametrize("name", SECOND)
def test_a_stack_applies_its_layers_in_order(name: str) -> None:
    config = above_it(name)
    params, carry, tokens = begin(config)
    params = jax.tree.map(lambda leaf: 2 * leaf, params)  # so that gates vary
    assert_close(apply(config, params, carry, tokens), plain(config, params, carry, tokens))


@pytest.mark.parametrize("layer", [LSTMConfig(size=4), MogrifierLSTMConfig(size=4, rounds=2)])
def test_recurrent_dropout_applies_in_training_only(layer: LSTMConfig | MogrifierLSTMConfig) -> None:
    config, without = layers_of(replace(layer, recurrent_dropout=0.5)), layers_of(layer)
    params, carry, tokens = begin(config)
    carry = jax.tree.map(lambda leaf: leaf + 0.5, carry)
    assert_close(apply(config, params, carry, tokens), apply(without, params, carry, tokens))
    one, same, other = (apply(config, params, carry, tokens, jax.random.key(seed))[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (jnp.abs(one - other) > 1e-4).any()


def test_the_shape_of_logits() -> None:
    config = layers_of(LSTMConfig(size=6), RNNConfig(size=3))
    params, carry, tokens = begin(config)
    carry_out, logits = apply(config, params, carry, tokens)
    assert logits.shape == (BATCH, TIME, VOCABULARY)
    assert jax.tree.map(jnp.shape, carry_out) == jax.tree.map(jnp.shape, carry)


@pytest.mark.parametrize("name", SECOND)
def test_two_pieces_with_the_carry_passed_on_equal_one_sequence(name: str) -> None:
    config = above_it(name)
    params, carry, tokens = begin(config)
    whole = apply(config, params, carry, tokens)
    carry, first = apply(config, params, carry, tokens[:, : TIME // 2])
    carry, second = apply(config, params, carry, tokens[:, TIME // 2 :])
    assert_close((carry, jnp.concatenate([first, second], axis=1)), whole)


@pytest.mark.parametrize("name", SECOND)
def test_single_steps_give_the_logits_of_the_sequence(name: str) -> None:
    config = above_it(name)
    params, carry, tokens = begin(config)
    whole = apply(config, params, carry, tokens)
    projected = stack.project_table(config, params)
    logits = []
    for t in range(TIME):
        carry, step_logits = step(config, params, projected, carry, tokens[:, t])
        logits.append(step_logits)
    assert_close((carry, jnp.stack(logits, axis=1)), whole)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "block", "min_gru", "min_lstm", "rg_lru"])
def test_the_projected_table_gives_the_same_logits_and_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = layers_of(SECOND[name])
    params, carry, tokens = begin(config)

    def loss_and_gradients() -> tuple[jax.Array, Params]:
        def loss(
            params: Params,
        ) -> jax.Array:  # a new function, because JAX does not trace the same one again
            _, logits = stack.apply(config, params, carry, tokens)
            return softmax_cross_entropy(logits, tokens).mean()

        return jax.jit(jax.value_and_grad(loss))(params)

    with_table = loss_and_gradients()
    asked = []
    monkeypatch.setattr(stack, "project_table", lambda *_: asked.append(True))
    assert_close(loss_and_gradients(), with_table)
    assert asked


def rows_projected(config: ModelConfig, positions: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of rows that the second layer projects for a text of the given length."""
    seen: list[int] = []
    kind = config.layers[1].type
    input_projection = LAYERS[kind].input_projection
    assert input_projection is not None

    def watch(params: Params, xs: jax.Array) -> jax.Array:
        seen.append(xs.size // xs.shape[-1])
        return input_projection(params, xs)

    monkeypatch.setitem(LAYERS, kind, LAYERS[kind]._replace(input_projection=watch))
    params = stack.init(jax.random.key(0), config, VOCABULARY)
    stack.apply(config, params, stack.initial_carry(config, params, 1), jnp.zeros((1, positions), jnp.int32))
    (rows,) = seen
    return rows


def test_the_table_is_projected_only_if_it_has_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    config = layers_of(LSTMConfig(size=4))
    with monkeypatch.context() as patch:
        assert rows_projected(config, VOCABULARY + 1, patch) == VOCABULARY
    with monkeypatch.context() as patch:
        assert (
            rows_projected(config, VOCABULARY, patch) == VOCABULARY
        )  # as many positions as rows: the embedded inputs
    with monkeypatch.context() as patch:
        assert rows_projected(config, VOCABULARY - 1, patch) == VOCABULARY - 1


def test_the_table_is_not_projected_across_dropout() -> None:
    config = layers_of(DropoutConfig(rate=0.5), LSTMConfig(size=4))
    params, _, _ = begin(config)
    assert stack.project_table(config, params) is None


def test_dropout_depends_on_its_key_and_is_off_without_one() -> None:
    config = layers_of(DropoutConfig(rate=0.5), LSTMConfig(size=4), DropoutConfig(rate=0.5))
    params, carry, tokens = begin(config)

    def logits(key: jax.Array | None) -> jax.Array:
        return apply(config, params, carry, tokens, key)[1]  # type: ignore[no-any-return]

    assert_close(logits(None), logits(None))
    assert_close(logits(jax.random.key(3)), logits(jax.random.key(3)))
    assert not np.allclose(logits(jax.random.key(3)), logits(jax.random.key(4)))
    assert not np.allclose(logits(jax.random.key(3)), logits(None))


def test_each_dropout_of_a_stack_draws_its_own_mask() -> None:
    config = layers_of(DropoutConfig(rate=0.5), DropoutConfig(rate=0.5))
    params, carry, _ = begin(config)
    table, head = params[0], params[-1]
    params = (
        table._replace(table=jnp.ones_like(table.table)),
        *params[1:-1],
        head._replace(w=jnp.eye(4, VOCABULARY)),  # the logits are the remaining features
    )
    _, logits = apply(config, params, carry, jnp.zeros((BATCH, 500), jnp.int32), jax.random.key(0))
    assert abs((logits[..., :4] != 0).mean() - 0.25) < 0.05  # one mask used twice would keep a half


def test_a_block_has_the_size_of_its_input() -> None:
    config = layers_of(DropoutConfig(rate=0.1), RNNBlockConfig(cell="rnn"))
    params, _, _ = begin(config)
    assert params[2].cell.w_h.shape == (4, 4)


def test_parameters_are_counted() -> None:
    params, _, _ = begin(layers_of(LSTMConfig(size=6)))
    # table 5x4, w_x 4x24, w_h 6x24, b 24, head 6x5 and 5
    assert stack.count_parameters(params) == 20 + 96 + 144 + 24 + 30 + 5


def test_tokens_of_another_rank_are_refused_with_their_shape() -> None:
    config = layers_of(LSTMConfig(size=4))
    params, carry, tokens = begin(config)
    with pytest.raises(ValueError, match=r"tokens must be \[batch, time\], got shape \(8,\)"):
        stack.apply(config, params, carry, tokens[0])


# Documents: the state is reset before a separator.

RECURRENT = [name for name in SECOND if name != "dense"]


def test_every_layer_of_a_stack_is_reset_before_the_separator() -> None:
    config = layers_of(*(SECOND[name] for name in RECURRENT))
    params, carry, tokens = begin(config)
    resets = tokens == 2
    assert np.asarray(resets[:, 1:]).any()
    carry = jax.tree.map(lambda leaf: leaf + 0.5, carry)
    whole = apply(config, params, carry, tokens, resets=resets)
    assert_close(whole, plain(config, params, carry, tokens, resets))

    logits = []
    for t in range(TIME):
        carry, step_logits = step(config, params, None, carry, tokens[:, t], resets[:, t])
        logits.append(step_logits)
    assert_close((carry, jnp.stack(logits, axis=1)), whole)


@pytest.mark.parametrize(("name", "separator_id"), [("lstm", None), *((name, 2) for name in RECURRENT)])
def test_logits_after_a_separator_do_not_depend_on_earlier_tokens(
    name: str, separator_id: int | None
) -> None:
    config = layers_of(SECOND[name])
    params, carry, tokens = begin(config)
    tokens = tokens.at[:, 4].set(2)
    other_carry = jax.tree.map(lambda leaf: leaf + 1, carry)
    (end, logits), (other_end, other_logits) = (
        apply(config, params, *given, resets=find_resets(given[1], separator_id))
        for given in ((carry, tokens), (other_carry, tokens.at[:, :4].set((tokens[:, :4] + 1) % VOCABULARY)))
    )
    is_same = jax.tree.map(
        lambda a, b: bool((a == b).all()), (end, logits[:, 4:]), (other_end, other_logits[:, 4:])
    )
    assert set(jax.tree.leaves(is_same)) == {separator_id is not None}
    assert not np.allclose(logits[:, :4], other_logits[:, :4])


def test_no_gradient_passes_back_across_a_separator() -> None:
    config = layers_of(GRUConfig(size=4), LSTMConfig(size=4))
    params, carry, tokens = begin(config)
    resets = jnp.zeros(tokens.shape, bool).at[1, 3].set(True)

    def loss(carry: Carry) -> jax.Array:
        return apply(config, params, carry, tokens, resets=resets)[1][:, 3:].sum()  # type: ignore[no-any-return]

    for leaf in jax.tree.leaves(jax.grad(loss)(carry)):
        assert [bool(row.any()) for row in leaf] == [True, False, True]
