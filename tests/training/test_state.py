"""Mapping of a state to other batch sizes at the same position of the corpus."""

from dataclasses import replace

import jax.numpy as jnp
import pytest

from jaxrnn.config import Config
from jaxrnn.data.batching import chunks_per_epoch
from jaxrnn.training.state import TrainState, in_layout, init_state, layout, with_layout

TOKENS = 1000
SIZES = [(4, 8, 1), (2, 8, 1), (8, 3, 1), (5, 16, 3), (1, 1, 2)]


def place(config: Config, state: TrainState) -> float:
    """The number of epochs read so far."""
    number = int(state.step) * config.train.accumulate_steps + int(state.shift)
    return number / chunks_per_epoch(config.train, TOKENS)


@pytest.mark.parametrize("before", SIZES)
@pytest.mark.parametrize("after", SIZES)
def test_the_position_in_the_epoch_is_kept_to_within_a_batch(
    config: Config, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    old, new = (replace(config, train=with_layout(config.train, sizes)) for sizes in (before, after))
    state = init_state(old, 10)
    assert tuple(state.layout.tolist()) == layout(old.train) == before
    for step in (0, 1, 100, 1234):
        reached = state._replace(step=jnp.asarray(step, jnp.int32))
        moved = in_layout(new, reached, TOKENS)
        assert tuple(moved.layout.tolist()) == after
        assert 0 <= place(old, reached) - place(new, moved) < 1 / chunks_per_epoch(new.train, TOKENS) + 1e-9
        again = in_layout(old, moved, TOKENS)
        assert int(place(old, again)) == int(place(old, reached))
        assert moved.carry[1].h.shape[0] == new.train.batch_size if before != after else moved is reached


def test_random_windows_continue_by_their_number(config: Config) -> None:
    anywhere = replace(config, train=replace(config.train, stateful=False, batch_size=4, accumulate_steps=1))
    state = init_state(anywhere, 10)._replace(step=jnp.int32(7))
    double = replace(anywhere, train=replace(anywhere.train, batch_size=2, accumulate_steps=2))
    assert int(in_layout(double, state, TOKENS).shift) == 7 - 14
