"""Batches: a pure function of step and RNG seed; continuing streams, moving offsets, indices within the corpus."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import TrainConfig
from jaxrnn.data.batching import batch, chunks_per_epoch, draw_resets, min_tokens

KEY = jax.random.key(0)
CONFIG = TrainConfig(batch_size=3, seq_len=5)
IDS = jnp.arange(200, dtype=jnp.uint8)  # each token is its own position


def take(
    config: TrainConfig, step: int, ids: jax.Array = IDS, key: jax.Array = KEY
) -> tuple[np.ndarray, ...]:
    return tuple(map(np.asarray, batch(config, key, jnp.int32(step), ids)))


def test_targets_are_the_characters_after_the_inputs() -> None:
    for stateful in (True, False):
        inputs, targets, _ = take(replace(CONFIG, stateful=stateful), 1)
        assert inputs.shape == targets.shape == (3, 5)
        np.testing.assert_array_equal(targets, inputs + 1)


def test_a_batch_depends_on_step_and_key_only() -> None:
    for stateful in (True, False):
        config = replace(CONFIG, stateful=stateful)
        np.testing.assert_array_equal(take(config, 7)[0], take(config, 7)[0])
        others = [take(config, 0, key=jax.random.key(seed))[0] for seed in range(1, 6)]
        assert any((other != take(config, 0)[0]).any() for other in others)


def test_streams_continue_across_steps_and_restart_with_each_epoch() -> None:
    chunks = chunks_per_epoch(CONFIG, IDS.size)
    assert chunks == 13  # streams of 66 characters
    before, _, is_fresh = take(CONFIG, 0)
    assert is_fresh
    for step in range(1, 3 * chunks):
        inputs, _, is_fresh = take(CONFIG, step)
        assert is_fresh == (step % chunks == 0)
        if not is_fresh:
            np.testing.assert_array_equal(inputs[:, 0], before[:, -1] + 1)
        before = inputs


def test_the_offset_changes_with_the_epoch() -> None:
    chunks = chunks_per_epoch(CONFIG, IDS.size)
    firsts = {int(take(CONFIG, epoch * chunks)[0][0, 0]) for epoch in range(8)}
    assert len(firsts) > 1


def test_streams_of_an_epoch_do_not_overlap() -> None:
    chunks = chunks_per_epoch(CONFIG, IDS.size)
    seen = np.concatenate([take(CONFIG, step)[0].ravel() for step in range(chunks)])
    assert len(seen) == len(set(seen.tolist()))


@pytest.mark.parametrize("stateful", [True, False])
def test_the_shortest_corpus_works_without_out_of_range_indices(stateful: bool) -> None:
    for size, length in itertools.product((1, 3), (1, 4)):
        config = TrainConfig(batch_size=size, seq_len=length, stateful=stateful)
        for extra in range(size * length + 3):
            count = min_tokens(config) + extra
            ids = jnp.arange(count, dtype=jnp.int32)
            steps = jax.vmap(lambda step: batch(config, KEY, step, ids))  # noqa: B023 (called in this round)
            # an index out of range would be clipped, and a target would not follow its input
            inputs, targets, _ = map(np.asarray, steps(jnp.arange(8)))
            np.testing.assert_array_equal(targets, inputs + 1)
            assert 0 <= inputs.min() <= targets.max() < count


def test_the_shortest_corpus_for_windows() -> None:
    config = replace(CONFIG, stateful=False)
    ids = jnp.arange(min_tokens(config), dtype=jnp.uint8)
    inputs, targets, _ = take(config, 0, ids)
    np.testing.assert_array_equal(inputs, [[0, 1, 2, 3, 4]] * 3)
    np.testing.assert_array_equal(targets, [[1, 2, 3, 4, 5]] * 3)
    _, targets, _ = take(config, 0, ids[:-1])
    assert (targets[:, -1] == targets[:, -2]).all()  # the last index was out of range and clipped


def test_ids_have_an_integer_type_for_indexing() -> None:
    inputs, targets, is_fresh = take(CONFIG, 0)
    assert [array.dtype.name for array in (inputs, targets, is_fresh)] == ["int32", "int32", "bool"]
    assert is_fresh.shape == ()
    assert [chunks_per_epoch(CONFIG, min_tokens(CONFIG) - less) for less in (0, 1)] == [1, 0]


def test_windows_start_anywhere_with_a_zero_carry() -> None:
    config = replace(CONFIG, stateful=False)
    batches = [take(config, step) for step in range(200)]
    assert all(is_fresh for _, _, is_fresh in batches)
    starts = {int(start) for inputs, _, _ in batches for start in inputs[:, 0]}
    assert min(starts) == 0
    assert max(starts) == IDS.size - 6  # the last window with all its targets


def test_resets_have_the_given_rate_independent_of_step_and_stream() -> None:
    config = replace(CONFIG, batch_size=50, reset_rate=0.1)
    steps = jnp.arange(200, dtype=jnp.int32)
    resets = np.asarray(jax.vmap(lambda step: draw_resets(config, KEY, step))(steps))
    assert resets.shape == (200, 50)
    assert abs(resets.mean() - 0.1) < 6 * 0.3 / 100
    assert resets.mean(0).max() < 0.3
    assert resets.mean(1).max() < 0.5
    np.testing.assert_array_equal(resets[3], draw_resets(config, KEY, jnp.int32(3)))
