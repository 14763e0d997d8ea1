"""Training from disk is bitwise identical to training from memory."""

import threading
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config, TrainConfig
from jaxrnn.data import batching, feeding
from jaxrnn.data.tokens import TokenSource, in_memory, on_disk
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import CorpusError
from jaxrnn.evaluation import validation
from jaxrnn.parallel.devices import training_mesh
from jaxrnn.training.loop import Evaluated, Event, Save, train
from jaxrnn.training.state import TrainState, init_state


@pytest.fixture
def resident(vocabulary: Vocabulary, ids: np.ndarray) -> TokenSource:
    return in_memory(vocabulary, ids)


@pytest.fixture
def streamed(vocabulary: Vocabulary, ids: np.ndarray) -> TokenSource:
    Path("ids").write_bytes(ids.tobytes())
    return on_disk(vocabulary, Path("ids"), len(ids))


def events_of(
    config: Config, tokens: TokenSource, state: TrainState | None = None, stop_at: int | None = None
) -> list[Event]:
    """Return all events of a training run without its speed."""
    found: list[Event] = []
    steps: list[int] = []
    state = state or init_state(config, tokens.vocabulary.size)
    splits = tokens.part(0, 1000), tokens.part(1000, len(tokens))
    for event in train(config, state, *splits, should_stop=lambda: steps[-1:] == [stop_at]):
        steps.append(event.step)
        if isinstance(event, Evaluated):
            found.append(event._replace(seconds=0, tokens_per_second=0))
        if isinstance(event, Save):
            found.append(event)
    return found


def assert_same(found: list[Event], expected: list[Event]) -> None:
    for a, b in zip(found, expected, strict=True):
        if not isinstance(a, Save) or not isinstance(b, Save):
            assert a == b
            continue
        assert (a.step, a.val_loss) == (b.step, b.val_loss)
        states = (event.state._replace(key=jax.random.key_data(event.state.key)) for event in (a, b))
        jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.usefixtures("optimised")  # two programs, which must round alike
def test_states_and_metrics_are_bitwise_identical_even_after_a_stop(
    config: Config,
    resident: TokenSource,
    streamed: TokenSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 5 * 4 * 7)  # a block is 5 steps
    # 60 steps are more than 1 epoch.
    few = {"steps": 60, "save_every": 23, "eval_every": 20, "sample_every": 0}
    many = {"reset_rate": 0.5, "accumulate_steps": 2}
    config = replace(config, train=replace(config.train, **few, **many))  # type: ignore[arg-type]
    expected = events_of(config, resident)
    assert_same(events_of(config, streamed), expected)
    *_, middle = events_of(config, streamed, stop_at=23)
    assert isinstance(middle, Save)
    assert middle.step == 23  # in the middle of a block
    resumed = events_of(config, streamed, middle.state)
    assert_same(resumed[-1:], expected[-1:])
    for thread in threading.enumerate():
        if "jaxrnn-reader" in thread.name:
            thread.join(10)  # it ends soon after training
            assert not thread.is_alive()


def test_a_long_validation_split_is_read_in_pieces(
    config: Config, resident: TokenSource, streamed: TokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = init_state(config, resident.vocabulary.size).params
    losses = []
    for most in (100, 1 << 20):
        monkeypatch.setattr(validation, "_ON_DEVICE", most)
        losses += [
            validation.evaluate(config.model, params, validation.segment(tokens))
            for tokens in (resident, streamed)
        ]
    assert losses[0] == losses[1]
    assert losses[2] == losses[3] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.parametrize("stateful", [True, False])
def test_a_block_holds_the_batches_of_its_steps(
    config: Config,
    resident: TokenSource,
    streamed: TokenSource,
    monkeypatch: pytest.MonkeyPatch,
    stateful: bool,
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 7 * 4 * 7)
    train = replace(config.train, steps=100, stateful=stateful)
    key = jax.random.key(3)
    feed = feeding.feeding(train, training_mesh(train), key, streamed, 40)
    whole, end = feeding.feeding(train, training_mesh(train), key, resident, 40)(40)
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


def test_a_block_has_at_least_1_and_at_most_all_steps() -> None:
    train = TrainConfig(batch_size=4, seq_len=7)
    assert feeding.steps_per_block(train, 1, 10) == 10
    assert feeding.steps_per_block(train, 1, 10**9) == feeding.BLOCK_BYTES // 32
    assert feeding.steps_per_block(train, 2, 10**9) == feeding.BLOCK_BYTES // 64
    assert feeding.steps_per_block(TrainConfig(batch_size=2**20, seq_len=2**20), 1, 5) == 1


def test_token_ids_truncated_during_training_are_one_line(config: Config, streamed: TokenSource) -> None:
    with Path("ids").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(CorpusError, match="was cut short: delete its folder and start again"):
        events_of(config, streamed)
