"""A training that reads its text from the disk ends in the bits of one that has it on the device."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config, TrainConfig
from jaxrnn.data import batching, feeding
from jaxrnn.data.sources import find_source
from jaxrnn.data.stream import Stream, open_stream, part
from jaxrnn.data.tokenizing import tokenise
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import CorpusError
from jaxrnn.parallel.devices import training_mesh
from jaxrnn.training.loop import Evaluated, Save, train
from jaxrnn.training.state import TrainState, init_state

from .conftest import Put


@pytest.fixture
def streamed(put: Put, text: str, vocabulary: Vocabulary) -> Stream:
    put("t.txt", text)
    return open_stream(tokenise(find_source("t.txt"), "characters"), vocabulary)


def end_of(
    config: Config,
    vocabulary: Vocabulary,
    ids: "np.ndarray | Stream",
    cut: Callable[[int, int], "np.ndarray | Stream"],
    state: TrainState | None = None,
    stop_at: int | None = None,
) -> tuple[TrainState, list[float | None]]:
    """The last state of a training, and its losses."""
    losses, saved = [], None
    steps: list[int] = []
    events = train(
        config,
        state or init_state(config, vocabulary.size),
        vocabulary,
        cut(0, 1000),
        cut(1000, len(ids)),
        should_stop=lambda: bool(steps) and steps[-1] == stop_at,
    )
    for event in events:
        if isinstance(event, Evaluated):
            losses.append(event.val_loss)
        if isinstance(event, Save):
            saved = jax.tree.map(lambda leaf: leaf.copy(), event.state)
        steps.append(event.step)
    assert saved is not None
    return saved, losses


@pytest.mark.usefixtures("optimised")  # two programs, which the compiler must not round apart
@pytest.mark.parametrize("kind", [{}, {"reset_rate": 0.5, "accumulate_steps": 2}, {"stateful": False}])
def test_the_bits_are_those_of_a_text_on_the_device_also_after_a_stop(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    streamed: Stream,
    monkeypatch: pytest.MonkeyPatch,
    kind: dict[str, object],
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 5 * 4 * 7)  # a block is 5 steps
    # 60 steps are more than an epoch.
    few = {"steps": 60, "save_every": 23, "eval_every": 20, "sample_every": 0}
    config = replace(config, train=replace(config.train, **{**few, **kind}))  # type: ignore[arg-type]
    expected, losses = end_of(config, vocabulary, ids, lambda start, stop: ids[start:stop])
    cut = lambda start, stop: part(streamed, start, stop)  # noqa: E731
    found, found_losses = end_of(config, vocabulary, streamed, cut)
    assert_identical(found, expected)
    assert found_losses == losses
    middle, _ = end_of(config, vocabulary, streamed, cut, stop_at=23)
    assert int(middle.step) == 23  # in the middle of a block
    resumed, _ = end_of(config, vocabulary, streamed, cut, middle)
    assert_identical(resumed, expected)
    for thread in threading.enumerate():
        if "jaxrnn-reader" in thread.name:
            thread.join(10)  # it ends with the training, if not in the same moment
            assert not thread.is_alive()


def assert_identical(a: TrainState, b: TrainState) -> None:
    a, b = (state._replace(key=jax.random.key_data(state.key)) for state in (a, b))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("stateful", [True, False])
def test_a_block_holds_the_batches_of_its_steps(
    config: Config, ids: np.ndarray, streamed: Stream, monkeypatch: pytest.MonkeyPatch, stateful: bool
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 7 * 4 * 7)
    train = replace(config.train, steps=100, stateful=stateful)
    key = jax.random.key(3)
    feed = feeding.feeding(train, training_mesh(train), key, streamed, 40)
    whole, end = feeding.feeding(train, training_mesh(train), key, ids, 40)(40)
    assert end == 100
    for step in range(40, 61):
        block, end = feed(step)
        assert (step < end) == (end == 47 + (step - 40) // 7 * 7)
        for found, expected in zip(
            batching.batch(train, key, jnp.int32(step), block),
            batching.batch(train, key, jnp.int32(step), whole),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)


def test_a_block_has_no_more_steps_than_there_are_and_one_at_least() -> None:
    train = TrainConfig(batch_size=4, seq_len=7)
    assert feeding.steps_per_block(train, 1, 10) == 10
    assert feeding.steps_per_block(train, 1, 10**9) == feeding.BLOCK_BYTES // 32
    assert feeding.steps_per_block(train, 2, 10**9) == feeding.BLOCK_BYTES // 64
    assert feeding.steps_per_block(TrainConfig(batch_size=2**20, seq_len=2**20), 1, 5) == 1


def test_ids_that_were_cut_short_meanwhile_end_in_one_line(
    config: Config, vocabulary: Vocabulary, streamed: Stream
) -> None:
    with streamed.file.path.open("r+b") as file:
        file.truncate(500)
    with pytest.raises(CorpusError, match="was cut short: delete its folder and start again"):
        end_of(config, vocabulary, streamed, lambda start, stop: part(streamed, start, stop))


def test_ids_that_nobody_wrote_end_in_one_line(streamed: Stream) -> None:
    with streamed.file.path.open("r+b") as file:
        file.write(b"\xff")
    places = np.arange(2)
    reads = (
        lambda: streamed.read(0, 2),
        lambda: streamed.take(places),
        lambda: streamed.windows(places, 3),
    )
    for read in reads:
        with pytest.raises(CorpusError, match="is damaged: delete its folder and start again"):
            read()


def test_ids_that_were_deleted_meanwhile_are_read_all_the_same(streamed: Stream) -> None:
    streamed.file.path.unlink()
    assert streamed.read(0, 5).size == 5


# More characters than 32 bits can count: a file with a hole in it, which is all zeros but for its ends.

FAR = 2**32 + 1000


@pytest.fixture
def far(tmp_path: Path) -> Stream:
    from jaxrnn.data.stream import Opened

    path = tmp_path / "ids.uint8"
    with path.open("wb") as file:
        file.truncate(FAR)
        for place in range(0, FAR, 2**30):
            file.seek(place)
            file.write(bytes([1 + place // 2**30]))
        file.seek(FAR - 200)
        file.write(bytes(range(50, 250)))
    return Stream(Opened(path), "uint8", 0, FAR, np.arange(256, dtype=np.uint8))


def test_positions_far_beyond_32_bits_are_read(far: Stream) -> None:
    assert len(far) == far.size == FAR
    starts = np.array([[0, 2**30], [2**32, FAR - 3]])
    assert far.windows(starts, 3).tolist() == [[[1, 0, 0], [2, 0, 0]], [[5, 0, 0], [247, 248, 249]]]
    assert far.take(np.array([-5, 2**31, FAR - 1, FAR + 5])).tolist() == [1, 3, 249, 249]
    assert part(far, 2**32, FAR).windows(np.array([0]), 1).tolist() == [[5]]


def test_streams_of_a_text_that_long_lie_side_by_side(far: Stream) -> None:
    train = TrainConfig(batch_size=4, seq_len=100, steps=2**31 - 1)
    key = jax.random.key(0)
    chunks = batching.chunks_per_epoch(train, FAR)
    starts, is_fresh = batching.find_starts(train, key, chunks - 2, 4, FAR)
    assert is_fresh.tolist() == [False, False, True, False]
    assert (np.diff(starts, axis=1) == (FAR - 1) // 4).all()
    assert (np.diff(starts, axis=0)[[0, 2]] == 100).all()
    assert starts.min() >= 0
    assert FAR - 201 <= starts.max() + 100 < FAR
    feed = feeding.feeding(train, training_mesh(replace(train, num_devices=1)), key, far, chunks - 2)
    block, _ = feed(chunks - 2)
    assert isinstance(block, batching.Block)
    np.testing.assert_array_equal(block.windows[0], far.windows(starts[0], 101))


def test_windows_of_a_text_that_long_lie_anywhere_in_it() -> None:
    train = TrainConfig(batch_size=256, seq_len=100, stateful=False)
    starts, is_fresh = batching.find_starts(train, jax.random.key(0), 5, 40, FAR)
    assert is_fresh.all()
    assert 0 <= starts.min() < FAR // 1000
    assert FAR - FAR // 1000 < starts.max() < FAR - 100
    np.testing.assert_allclose(starts.mean(), FAR / 2, rtol=0.03)
    assert len(np.unique(starts % 2**20)) > 10_000  # all bits are random
    again, _ = batching.find_starts(train, jax.random.key(0), 7, 1, FAR)
    np.testing.assert_array_equal(again[0], starts[2])
