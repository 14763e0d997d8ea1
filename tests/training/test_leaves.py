"""Conversion of a state to named arrays on the host and back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn.training.leaves import from_leaves, is_in, to_leaves


class Layer(NamedTuple):
    w: Any
    b: Any


class State(NamedTuple):
    """A small training state with every kind of leaf and node of the real one."""

    step: Any
    params: Any
    opt_state: Any
    key: Any


def make_state() -> State:
    # () is a layer without parameters.
    params = (Layer(jnp.ones((5, 7)), jnp.zeros(7)), (), Layer(jnp.ones((7, 3)), jnp.ones(3, jnp.bfloat16)))
    return State(jnp.array(4), params, optax.sgd(1e-3, momentum=0.9).init(params), jax.random.key(5))


def test_a_leaf_is_named_by_its_path() -> None:
    params = {"params.0.w", "params.0.b", "params.2.w", "params.2.b"}
    momenta = {name.replace("params", "opt_state.0.trace") for name in params}
    assert to_leaves(make_state()).keys() == params | momenta | {"step", "key"}


def test_a_state_survives_a_round_trip() -> None:
    state = make_state()
    back = from_leaves(to_leaves(state), jax.eval_shape(make_state))
    assert jax.tree.all(jax.tree.map(lambda ours, theirs: ours.dtype == theirs.dtype, back, state))
    jax.tree.map(np.testing.assert_array_equal, back._replace(key=None), state._replace(key=None))


def test_a_restored_key_draws_the_same_numbers() -> None:
    key = from_leaves(to_leaves(make_state()), jax.eval_shape(make_state)).key
    np.testing.assert_array_equal(jax.random.normal(key, (9,)), jax.random.normal(make_state().key, (9,)))


def test_keys_keep_their_implementation() -> None:
    key = jax.random.key(5, impl="rbg")
    like = jax.eval_shape(lambda: {"key": jax.random.key(0, impl="rbg")})
    assert from_leaves(to_leaves({"key": key}), like)["key"].dtype == key.dtype


def test_restored_arrays_can_be_donated_and_moved() -> None:
    w = from_leaves({"w": np.arange(3.0, dtype=np.float32)}, {"w": jnp.zeros(3)})["w"]
    assert not w.committed
    doubled = jax.jit(lambda x: x * 2, donate_argnums=0)(w)
    assert w.is_deleted()
    np.testing.assert_array_equal(doubled, [0, 2, 4])


def test_a_part_is_restored_from_the_leaves_of_the_state() -> None:
    params = from_leaves(to_leaves(make_state()), make_state().params, "params")
    jax.tree.map(np.testing.assert_array_equal, params, make_state().params)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"params.0.w": np.zeros((6, 7), np.float32)},
            r"params\.0\.w is float32\[6, 7\], expected float32\[5, 7\]",
        ),
        ({"params.2.b": np.zeros(3, np.float32)}, r"params\.2\.b is float32\[3\], expected bfloat16\[3\]"),
        ({"key": np.zeros(4, np.uint32)}, r"key is uint32\[4\], expected uint32\[2\]"),
        ({"step": None}, r"step is absent, expected int32\[\]"),
        ({"carry.2": np.zeros(1)}, r"carry\.2 is float64\[1\], expected absent"),
    ],
)
def test_mismatched_leaves_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    leaves = {name: leaf for name, leaf in {**to_leaves(make_state()), **change}.items() if leaf is not None}
    with pytest.raises(ValueError, match=words):
        from_leaves(leaves, jax.eval_shape(make_state))


@pytest.mark.parametrize(
    ("name", "part", "inside"),
    [
        ("params.0.w", "params", True),
        ("params.0.w", "", True),
        ("params", "params", True),
        ("params_of_old", "params", False),
        ("opt_state.params", "params", False),
    ],
)
def test_a_part_has_the_leaves_below_its_name(name: str, part: str, inside: bool) -> None:
    assert is_in(name, part) == inside
