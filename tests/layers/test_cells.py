"""Behavior that all recurrent layers share; each layer has its own file for the rest."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from jaxrnn import (
    gru,
    gru_carry,
    gru_step,
    init_gru,
    init_lstm,
    init_min_gru,
    init_min_lstm,
    init_mogrifier_lstm,
    init_rg_lru,
    init_rnn,
    init_rnn_block,
    init_slstm,
    lstm,
    lstm_carry,
    lstm_step,
    min_gru,
    min_gru_carry,
    min_gru_step,
    min_lstm,
    min_lstm_carry,
    min_lstm_step,
    mogrifier_lstm,
    mogrifier_lstm_step,
    rg_lru,
    rg_lru_carry,
    rg_lru_step,
    rnn,
    rnn_block,
    rnn_block_carry,
    rnn_block_step,
    rnn_carry,
    rnn_step,
    slstm,
    slstm_carry,
    slstm_step,
)
from jaxrnn.gradcheck.cases import ON_TRIAL
from jaxrnn.layers.gru import gru_cell
from jaxrnn.layers.lstm import lstm_cell

# All sizes differ, so that swapped axes can't match by chance.
TIME, BATCH, INPUT, HIDDEN = 8, 3, 2, 6
CUT = 4  # where a sequence is split in two: halves of one shape share a program


# Steps before which the state is reset.
WHERE = {
    "nowhere": np.zeros((TIME, BATCH), bool),
    "first": np.arange(TIME)[:, None] == np.zeros(BATCH),
    "last": np.arange(TIME)[:, None] == np.full(BATCH, TIME - 1),
    "everywhere": np.ones((TIME, BATCH), bool),
    "here and there": np.random.default_rng(0).random((TIME, BATCH)) < 0.4,
}


class Layer(NamedTuple):
    apply: Callable[..., Any]
    jitted: Callable[..., Any]  # the same, compiled once per shape for all tests
    step: Callable[..., Any]
    init: Callable[..., Any]  # (key, dtype) -> params
    carry: Callable[..., Any]  # (params, batch_size) -> zeros
    plain: Callable[..., Any]  # differentiated by JAX
    input_size: int = INPUT


class Arguments(NamedTuple):
    params: Any
    carry: Any
    xs: Any


def recurrent(
    apply: Callable[..., Any], step: Callable[..., Any], init: Callable[..., Any], *others: Any
) -> Layer:
    return Layer(apply, jax.jit(apply), step, init, *others)


def block_of(cell: str) -> Layer:
    def init(key: jax.Array, dtype: Any) -> Any:
        return init_rnn_block(key, HIDDEN, cell, dtype)

    return recurrent(rnn_block, rnn_block_step, init, rnn_block_carry, ON_TRIAL["rnn_block"].plain, HIDDEN)


LAYERS = {
    "rnn": recurrent(
        rnn,
        rnn_step,
        lambda key, dtype: init_rnn(key, INPUT, HIDDEN, dtype),
        rnn_carry,
        ON_TRIAL["rnn"].plain,
    ),
    "lstm": recurrent(
        lstm,
        lstm_step,
        lambda key, dtype: init_lstm(key, INPUT, HIDDEN, dtype),
        lstm_carry,
        ON_TRIAL["lstm"].plain,
    ),
    "mogrifier_lstm": recurrent(
        mogrifier_lstm,
        mogrifier_lstm_step,
        lambda key, dtype: init_mogrifier_lstm(key, INPUT, HIDDEN, 3, 2, dtype),
        lstm_carry,
        ON_TRIAL["mogrifier_lstm"].plain,
    ),
    "gru": recurrent(
        gru,
        gru_step,
        lambda key, dtype: init_gru(key, INPUT, HIDDEN, dtype),
        gru_carry,
        ON_TRIAL["gru"].plain,
    ),
    "slstm": recurrent(
        slstm,
        slstm_step,
        lambda key, dtype: init_slstm(key, INPUT, HIDDEN, 2, dtype),
        slstm_carry,
        ON_TRIAL["slstm"].plain,
    ),
    "min_gru": recurrent(
        min_gru,
        min_gru_step,
        lambda key, dtype: init_min_gru(key, INPUT, HIDDEN, dtype),
        min_gru_carry,
        ON_TRIAL["min_gru"].plain,
    ),
    "min_lstm": recurrent(
        min_lstm,
        min_lstm_step,
        lambda key, dtype: init_min_lstm(key, INPUT, HIDDEN, dtype),
        min_lstm_carry,
        ON_TRIAL["min_lstm"].plain,
    ),
    "rg_lru": recurrent(
        rg_lru,
        rg_lru_step,
        lambda key, dtype: init_rg_lru(key, HIDDEN, dtype=dtype),
        rg_lru_carry,
        ON_TRIAL["rg_lru"].plain,
        HIDDEN,
    ),
    "rnn_block": block_of("lstm"),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]


def random_like(seed: int, tree: Any) -> Any:
    """A tree of the same shapes and types, of normal numbers."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype), tree)


@cache
def draw(layer: Layer, seed: int = 0, dtype: Any = jnp.float32) -> Arguments:
    """Parameters with biases, a carry and inputs: normal numbers, small enough not to saturate gates."""

    def zeros(key: jax.Array) -> Arguments:
        params = layer.init(key, dtype)
        return Arguments(
            params, layer.carry(params, BATCH), jnp.zeros((TIME, BATCH, layer.input_size), dtype)
        )

    noise = random_like(seed, jax.eval_shape(zeros, jax.random.key(seed)))
    arguments = Arguments(*jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf) / 2), noise))
    if "n" in arguments.carry._fields:  # a normalizer, which is a sum of weights
        arguments = arguments._replace(carry=arguments.carry._replace(n=abs(arguments.carry.n) + 0.5))
    return arguments


@cache
def pull(layer: Layer) -> Callable[..., Any]:
    """Cotangents of the arguments from cotangents of the outputs: (params, carry, xs, d_outputs) -> ..."""
    return jax.jit(lambda *given: jax.vjp(layer.apply, *given[:3])[1](given[3]))


def assert_close(tree: Any, expected: Any, tolerance: float = 1e-5) -> None:
    leaves, expected_leaves = jax.tree.leaves(tree), jax.tree.leaves(expected)
    for leaf, expected_leaf in zip(leaves, expected_leaves, strict=True):
        assert leaf.shape == expected_leaf.shape
        np.testing.assert_allclose(leaf, expected_leaf, rtol=tolerance, atol=tolerance)


def stack(trees: Iterable[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def weigh(layer: Layer, params: Any, carry: Any, xs: jax.Array) -> jax.Array:
    """A scalar of all outputs, each with a different weight."""
    outputs = jax.tree.leaves(layer.apply(params, carry, xs))
    return jnp.stack(
        [(out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)).sum() for out in outputs]
    ).sum()


# Outputs


MASK = jnp.ones((BATCH, HIDDEN)).at[:, 2].set(0)


@pytest.mark.parametrize("where", [None, "here and there"])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        *((layer, {}) for layer in LAYERS.values()),
        *((LAYERS[name], {"mask": MASK}) for name in ("lstm", "mogrifier_lstm")),
        *((block_of(cell), {}) for cell in ("rnn", "gru")),
    ],
    ids=[*LAYERS, "lstm with a mask", "mogrifier_lstm with a mask", "rnn_block (rnn)", "rnn_block (gru)"],
)
def test_single_steps_equal_the_whole_sequence_forward_and_backward(
    layer: Layer, options: dict[str, Any], where: str | None
) -> None:
    arguments = draw(layer)
    resets = None if where is None else jnp.asarray(WHERE[where])
    d_outputs = random_like(9, layer.jitted(*arguments))

    def in_steps(params: Any, carry: Any, xs: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            x, reset = now
            return layer.step(params, carry, x, reset=reset, **options)

        return jax.lax.scan(step, carry, (xs, resets))

    @jax.jit
    def run(*given: Any) -> Any:
        outputs, pull_back = jax.vjp(in_steps, *given)
        return outputs, pull_back(d_outputs)

    masked = layer._replace(apply=partial(layer.apply, **options)) if options else layer
    assert_close(run(*arguments), with_resets(masked)(resets, d_outputs, *arguments), 1e-4)


def test_a_step_of_another_shape_is_refused(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    name = f"{layer.apply.__name__}_step"
    with pytest.raises(
        ValueError, match=rf"^{name}: x must be \[batch, input\], got shape \({TIME}, {BATCH}, "
    ):
        layer.step(params, carry, xs)
    with pytest.raises(
        ValueError, match=rf"^{name}: reset must be bool \[batch\], \({BATCH},\), got bool of"
    ):
        layer.step(params, carry, xs[0], reset=jnp.zeros(TIME, bool))
    with pytest.raises(ValueError, match="carry must be"):
        layer.step(params, layer.carry(params, BATCH + 1), xs[0])


def test_two_chunks_with_the_carry_passed_on_equal_one_sequence(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    between, first = layer.jitted(params, carry, xs[:CUT])
    last, second = layer.jitted(params, between, xs[CUT:])
    assert_close((last, jnp.concatenate([first, second])), layer.jitted(params, carry, xs))


def test_sequences_of_a_batch_are_independent(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    _, hs = layer.jitted(params, carry, xs)
    _, changed = layer.jitted(params, jax.tree.map(lambda h: h.at[1].set(9), carry), xs.at[:, 1].set(9))
    assert [bool(jnp.array_equal(hs[:, row], changed[:, row])) for row in range(BATCH)] == [True, False, True]


def test_the_initial_carry_is_zero_with_the_type_of_the_parameters(layer: Layer) -> None:
    for field in layer.carry(draw(layer, dtype=jnp.bfloat16).params, 4):
        assert field.shape == (4, HIDDEN)
        assert field.dtype == jnp.bfloat16
        assert not field.any()


# Gradients (tests/gradcheck verifies their values)


def test_gradients_pass_between_chunks_through_the_carry(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    d_last, d_hs = random_like(9, layer.jitted(params, carry, xs))
    expected = pull(layer)(params, carry, xs, (d_last, d_hs))

    between, _ = layer.jitted(params, carry, xs[:CUT])
    d_params, d_between, d_second = pull(layer)(params, between, xs[CUT:], (d_last, d_hs[CUT:]))
    d_params_before, d_carry, d_first = pull(layer)(params, carry, xs[:CUT], (d_between, d_hs[:CUT]))
    d_params = jax.tree.map(jnp.add, d_params, d_params_before)
    assert_close((d_params, d_carry, jnp.concatenate([d_first, d_second])), expected, 1e-4)


def test_the_last_steps_loss_reaches_the_carry_and_every_earlier_step(layer: Layer) -> None:
    arguments = draw(layer)
    d_outputs = jax.tree.map(jnp.zeros_like, layer.jitted(*arguments))
    _, d_carry, d_xs = pull(layer)(*arguments, (d_outputs[0], d_outputs[1].at[-1].set(1)))
    for d in (*d_carry, *d_xs):
        assert abs(d).max() > 1e-6


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_everything_has_the_type_of_the_arguments(layer: Layer, dtype: Any) -> None:
    arguments = draw(layer, dtype=dtype)
    outputs = layer.jitted(*arguments)
    assert {leaf.dtype for leaf in jax.tree.leaves((arguments, outputs))} == {jnp.dtype(dtype)}
    cotangents = Arguments(*pull(layer)(*arguments, outputs))
    jax.tree.map(check_same_kind, cotangents, arguments)


def check_same_kind(cotangent: jax.Array, primal: jax.Array) -> None:
    assert (cotangent.shape, cotangent.dtype) == (primal.shape, primal.dtype)


def test_parameters_can_be_drawn_in_bfloat16(layer: Layer) -> None:
    params = layer.init(jax.random.key(0), jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}


def test_forward_mode_is_refused(layer: Layer) -> None:
    arguments = draw(layer)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(layer.apply, arguments, arguments)


# Resets


@cache
def with_resets(layer: Layer) -> Callable[..., Any]:
    """(params, carry, xs, resets, d_outputs) -> the outputs, and the cotangents of the first three arguments."""

    def run(resets: jax.Array | None, d_outputs: Any, *given: Any) -> Any:
        outputs, pull_back = jax.vjp(lambda *given: layer.apply(*given, resets=resets), *given)
        return outputs, pull_back(d_outputs)

    return jax.jit(run)


def one_by_one(layer: Layer, resets: jax.Array, d_outputs: Any, params: Any, carry: Any, xs: Any) -> Any:
    """The results of `with_resets` from single steps of the layer without resets, reset by hand in between."""

    def empty(t: int, carry: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf * (1 - resets[t].astype(leaf.dtype))[:, None], carry)

    before, hs = [], []
    for t in range(TIME):
        before.append(empty(t, carry))
        carry, h = layer.jitted(params, before[t], xs[t : t + 1])
        hs.append(h)
    d_carry, d_hs = d_outputs
    d_params, d_xs = jax.tree.map(jnp.zeros_like, params), []
    for t in reversed(range(TIME)):
        d_here, d_carry, d_x = pull(layer)(params, before[t], xs[t : t + 1], (d_carry, d_hs[t : t + 1]))
        d_params, d_carry = jax.tree.map(jnp.add, d_params, d_here), empty(t, d_carry)
        d_xs.append(d_x)
    return (carry, jnp.concatenate(hs)), (d_params, d_carry, jnp.concatenate(d_xs[::-1]))


@pytest.mark.parametrize("where", WHERE)
def test_resets_equal_single_steps_with_states_reset_by_hand(layer: Layer, where: str) -> None:
    arguments, resets = draw(layer), jnp.asarray(WHERE[where])
    d_outputs = random_like(9, layer.jitted(*arguments))
    found = with_resets(layer)(resets, d_outputs, *arguments)
    assert_close(found, one_by_one(layer, resets, d_outputs, *arguments), 1e-4)
    _, (_, d_carry, _) = found
    assert [bool(d.any()) for d in d_carry] == [not resets[0].all()] * len(d_carry)


def test_a_sequence_with_a_reset_equals_two_sequences(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    d_last, d_hs = random_like(9, layer.jitted(params, carry, xs))
    resets = jnp.zeros((TIME, BATCH), bool).at[CUT].set(True)

    empty = layer.carry(params, BATCH)
    _, first = layer.jitted(params, carry, xs[:CUT])
    last, second = layer.jitted(params, empty, xs[CUT:])
    d_params, _, d_second = pull(layer)(params, empty, xs[CUT:], (d_last, d_hs[CUT:]))
    d_params_before, d_carry, d_first = pull(layer)(params, carry, xs[:CUT], (empty, d_hs[:CUT]))
    cotangents = (
        jax.tree.map(jnp.add, d_params, d_params_before),
        d_carry,
        jnp.concatenate([d_first, d_second]),
    )

    found = with_resets(layer)(resets, (d_last, d_hs), params, carry, xs)
    assert_close(found, ((last, jnp.concatenate([first, second])), cotangents), 1e-4)


def test_a_reset_clears_a_state_of_nan(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    resets = jnp.asarray(WHERE["first"])
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), carry)
    d_outputs = random_like(9, layer.jitted(params, carry, xs))
    found = with_resets(layer)(resets, d_outputs, params, broken, xs)
    assert_close(found, with_resets(layer)(resets, d_outputs, params, layer.carry(params, BATCH), xs))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("name", ["lstm", "mogrifier_lstm"])
def test_resets_work_with_a_mask(name: str) -> None:
    layer, arguments = LAYERS[name], draw(LAYERS[name])
    resets = jnp.asarray(WHERE["here and there"])
    d_outputs = random_like(9, layer.jitted(*arguments))

    @partial(jax.jit, static_argnums=0)
    def run(apply: Callable[..., Any], *given: Any) -> Any:
        chosen = partial(apply, mask=MASK, resets=resets)
        outputs, pull_back = jax.vjp(chosen, *given)
        return outputs, pull_back(d_outputs)

    assert_close(run(layer.apply, *arguments), run(layer.plain, *arguments), 1e-4)


def test_the_jaxpr_without_resets_has_no_select(layer: Layer) -> None:
    arguments = draw(layer)

    def choices(**options: Any) -> int:
        gradient = jax.grad(lambda given: layer.apply(*given, **options)[1].sum())
        program = jax.make_jaxpr(gradient)(arguments).jaxpr
        return sum(equation.primitive.name == "select_n" for equation, _ in equations(program))

    assert choices() == choices(resets=None) < choices(resets=jnp.asarray(WHERE["first"]))


def test_resets_of_another_shape_or_type_are_refused(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    for wrong in (jnp.zeros((BATCH, TIME), bool), jnp.zeros(TIME, bool), jnp.zeros((TIME, BATCH))):
        with pytest.raises(ValueError, match=r"resets must be bool \[time, batch\], \(8, 3\), got") as caught:
            layer.apply(params, carry, xs, resets=wrong)
        assert str(wrong.shape) in str(caught.value)
        assert str(wrong.dtype) in str(caught.value)


# Inside transformations


def test_jit_changes_nothing(layer: Layer) -> None:
    arguments = draw(layer)
    assert_close(layer.jitted(*arguments), layer.apply(*arguments))


def test_vmap_equals_a_loop_over_inputs_and_carries(layer: Layer) -> None:
    params = draw(layer).params
    many = [draw(layer, seed) for seed in range(3)]
    batched = jax.jit(jax.vmap(layer.apply, (None, 0, 0)))(
        params, stack(a.carry for a in many), stack(a.xs for a in many)
    )
    assert_close(batched, stack(layer.jitted(params, a.carry, a.xs) for a in many))


@cache
def gradient(layer: Layer) -> Callable[..., Any]:
    """(params, carry, xs) -> the gradient of `weigh` with respect to each."""
    return jax.jit(jax.grad(partial(weigh, layer), (0, 1, 2)))


def test_vmap_of_grad_equals_a_loop_over_models(layer: Layer) -> None:
    many = [draw(layer, seed) for seed in range(3)]
    together = jax.jit(jax.vmap(gradient(layer)))(*stack(many))
    assert_close(together, stack(gradient(layer)(*a) for a in many), 1e-4)


def test_jit_of_grad_of_vmap_equals_the_sum_of_gradients(layer: Layer) -> None:
    params = draw(layer).params
    many = [draw(layer, seed) for seed in range(3)]

    @jax.jit
    @jax.grad
    def together(params: Any, carries: Any, xs: jax.Array) -> jax.Array:
        return jax.vmap(partial(weigh, layer), (None, 0, 0))(params, carries, xs).sum()

    expected = stack(gradient(layer)(params, a.carry, a.xs)[0] for a in many)
    found = together(params, stack(a.carry for a in many), stack(a.xs for a in many))
    assert_close(found, jax.tree.map(lambda leaves: leaves.sum(axis=0), expected), 1e-4)


# Errors


def test_a_sequence_of_another_rank_is_refused_by_its_shape(layer: Layer) -> None:
    params, carry, xs = draw(layer)
    for wrong in (xs[0], xs[None]):
        with pytest.raises(ValueError, match=r"xs must be \[time, batch, input\]") as caught:
            layer.apply(params, carry, wrong)
        assert str(wrong.shape) in str(caught.value)


def test_a_sequence_of_another_width_is_refused_by_both_shapes(layer: Layer) -> None:
    params, carry, _ = draw(layer)
    expected = rf"xs has {layer.input_size + 1} features, but w_x \({layer.input_size}, \d+\)"
    with pytest.raises(ValueError, match=expected):
        layer.apply(params, carry, jnp.ones((TIME, BATCH, layer.input_size + 1)))


@pytest.mark.parametrize(
    "shape", [(BATCH + 1, HIDDEN), (BATCH, HIDDEN + 1), (BATCH, 1), (1, HIDDEN), (HIDDEN,)]
)
def test_a_carry_of_another_shape_is_refused_by_both_shapes(layer: Layer, shape: tuple[int, ...]) -> None:
    params, carry, xs = draw(layer)
    for field in carry._fields:
        expected = rf"the carry must be \[batch={BATCH}, hidden={HIDDEN}\]"
        with pytest.raises(ValueError, match=expected) as caught:
            layer.apply(params, carry._replace(**{field: jnp.ones(shape)}), xs)
        assert str(shape) in str(caught.value)


# Structure of the fast backward pass: the loop yields pre-activation gradients, not weight gradients


def equations(jaxpr: Jaxpr, in_loop: bool = False) -> Iterator[tuple[JaxprEqn, bool]]:
    """Every equation of a jaxpr at any depth, and whether it is in the body of a loop."""
    for equation in jaxpr.eqns:
        yield equation, in_loop
        is_loop = equation.primitive.name in ("scan", "while")
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: isinstance(leaf, ClosedJaxpr | Jaxpr)
        ):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
                yield from equations(inner, in_loop or is_loop)


def shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def products(apply: Callable[..., Any], arguments: Arguments) -> tuple[list[Any], list[Any]]:
    """The shapes of the matrix products of a gradient, inside and outside of loops."""

    def loss(arguments: Arguments) -> jax.Array:
        return jnp.stack([leaf.sum() for leaf in jax.tree.leaves(apply(*arguments))]).sum()

    found = [
        (shape(equation.outvars[0]), in_loop)
        for equation, in_loop in equations(jax.make_jaxpr(jax.grad(loss))(arguments).jaxpr)
        if equation.primitive.name == "dot_general"
    ]
    return [size for size, in_loop in found if in_loop], [size for size, in_loop in found if not in_loop]


def weight_shapes(params: Any) -> set[tuple[int, ...]]:
    shapes = {leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 2}
    return shapes | {shape[::-1] for shape in shapes}


@pytest.mark.parametrize("where", [None, "first"])
def test_no_weight_gradient_is_computed_in_a_loop(layer: Layer, where: str | None) -> None:
    arguments = draw(layer)
    resets = None if where is None else jnp.asarray(WHERE[where])
    in_loop, outside = products(partial(layer.apply, resets=resets), arguments)
    weights = weight_shapes(arguments.params)
    # h @ w_h in the forward pass and dz @ w_h.T in the backward pass, and likewise for the two matrices of the rounds;
    # no matrix in a linear recurrence. Each loop occurs twice, in its form for a CPU and in that for a GPU.
    is_linear = layer.apply in (min_gru, min_lstm, rg_lru)
    rounds = jax.tree.leaves(getattr(arguments.params, "rounds", ()))
    assert len(in_loop) == (0 if is_linear else 2 * 2 * (1 + len(rounds)))
    assert not weights & set(in_loop)
    matrices = [leaf for leaf in jax.tree.leaves(arguments.params) if leaf.ndim == 2]
    assert sum(shape in weights for shape in outside) == len(matrices)  # one product per matrix


def test_autodiff_of_the_plain_forward_pass_computes_weight_gradients_in_the_loop(layer: Layer) -> None:
    arguments = draw(layer)
    in_loop, _ = products(layer.plain, arguments)
    assert weight_shapes(arguments.params) & set(in_loop)


def test_no_loop_carries_or_yields_a_weight_gradient(layer: Layer) -> None:
    arguments = draw(layer)

    def loss(params: Any) -> jax.Array:
        return layer.apply(params, arguments.carry, arguments.xs)[1].sum()  # type: ignore[no-any-return]

    loops = [
        equation
        for equation, _ in equations(jax.make_jaxpr(jax.grad(loss))(arguments.params).jaxpr)
        if equation.primitive.name == "while"
    ]
    assert len(loops) == 2  # forward and backward
    for loop in loops:
        for variable in loop.outvars:
            assert shape(variable)[-2:] not in weight_shapes(arguments.params)


def test_an_empty_sequence_keeps_the_carry_and_has_zero_gradients(layer: Layer) -> None:
    arguments = draw(layer)
    nothing = arguments._replace(xs=arguments.xs[:0])
    (carry, ys), backward = jax.vjp(layer.jitted, *nothing)
    assert ys.shape == (0, BATCH, HIDDEN)
    assert_close(carry, arguments.carry, 0)
    d_params, d_carry, d_xs = backward((carry, ys))
    assert d_xs.shape == nothing.xs.shape
    assert_close(d_carry, arguments.carry, 1e-6)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(d_params))


def test_inputs_and_carry_of_two_types_are_refused(layer: Layer) -> None:
    params = layer.init(jax.random.key(0), jnp.bfloat16)
    xs = jnp.ones((TIME, BATCH, layer.input_size))
    with pytest.raises(ValueError, match="xs is float32 and the carry bfloat16"):
        layer.apply(params, layer.carry(params, BATCH), xs)


@pytest.mark.parametrize(("dtype", "lowest"), [(jnp.bfloat16, -14.0), (jnp.float32, -14.0)])
def test_nearly_closed_gates_are_accurate(dtype: Any, lowest: float) -> None:
    z = jnp.linspace(lowest, 0, 9, dtype=dtype)[:, None]
    expected = 1 / (1 + np.exp(-np.asarray(z, np.float64)))
    lstm_gates, _, _ = lstm_cell(jnp.tile(z, (1, 4)), jnp.zeros_like(z))
    gru_gates, _ = gru_cell(jnp.tile(z, (1, 3)), jnp.zeros((9, 3), dtype), jnp.zeros(1, dtype))
    for gate in (
        lstm_gates[:, [0]],
        lstm_gates[:, [1]],
        lstm_gates[:, [3]],
        gru_gates[:, [0]],
        gru_gates[:, [1]],
    ):
        np.testing.assert_allclose(np.asarray(gate, np.float64), expected, rtol=2**-8, atol=2**-23)
        assert (np.asarray(gate, np.float64) > 0).all()
