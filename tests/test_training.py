"""The loop: what it yields and when, and that nothing but the config decides what comes out."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

from jaxrnn import training
from jaxrnn.config import Config
from jaxrnn.errors import DivergenceError
from jaxrnn.training import Evaluated, Event, Progress, Sampled, Save, TrainState, init_state, train
from jaxrnn.vocabulary import Vocabulary


def with_train(config: Config, **values: object) -> Config:
    return replace(config, train=replace(config.train, **values))  # type: ignore[arg-type]


def run(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    state: TrainState | None = None,
    held_out: int = 200,
) -> list[Event]:
    """All events of a training; a saved state is copied, as its buffers are used again."""
    train_ids, val_ids = ids[: ids.size - held_out], ids[ids.size - held_out :]
    state = state or init_state(config, vocabulary.size)
    return list(map(keep, train(config, state, vocabulary, train_ids, val_ids)))


def keep(event: Event) -> Event:
    return (
        event._replace(state=jax.tree.map(lambda leaf: leaf.copy(), event.state))
        if isinstance(event, Save)
        else event
    )


def last_state(events: Iterable[Event]) -> TrainState:
    return [event.state for event in events if isinstance(event, Save)][-1]


def assert_identical(a: TrainState, b: TrainState) -> None:
    a, b = (state._replace(key=jax.random.key_data(state.key)) for state in (a, b))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def events(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> list[Event]:
    return run(config, vocabulary, ids)


def test_events_come_where_they_are_due_and_in_their_order(events: list[Event]) -> None:
    seen = [(event.step, type(event)) for event in events if not isinstance(event, Progress)]
    bests = {event.step for event in events if isinstance(event, Evaluated) and event.is_best}
    expected: list[tuple[int, type]] = []
    for step in range(1, 13):
        expected += [(step, Evaluated)] * (step in (4, 8, 12))
        expected += [(step, Sampled)] * (step in (8, 12))
        expected += [(step, Save)] * (step in (6, 12) or step in bests)
    assert seen == expected
    assert [event.step for event in events if isinstance(event, Progress)][-1] == 12


def test_numbers_count_steps_and_characters(events: list[Event]) -> None:
    for event in events:
        if isinstance(event, Progress | Evaluated):
            assert event.characters == event.step * 4 * 6
            assert event.chars_per_second > 0
            assert event.grad_norm > 0


def test_bits_are_nats_over_log_two(events: list[Event]) -> None:
    evaluated = next(event for event in events if isinstance(event, Evaluated))
    assert evaluated.val_loss is not None
    assert evaluated.bits_per_char == pytest.approx(evaluated.val_loss / np.log(2))


def test_a_saved_state_carries_the_loss_of_its_own_step_only(events: list[Event]) -> None:
    evaluated = {event.step: event.val_loss for event in events if isinstance(event, Evaluated)}
    for event in events:
        if isinstance(event, Save):
            assert event.val_loss == evaluated.get(event.step)
            assert int(event.state.step) == event.step


def test_a_sample_is_the_seed_and_as_many_characters_as_were_asked_for(events: list[Event]) -> None:
    sampled = [event for event in events if isinstance(event, Sampled)]
    assert all(event.text.startswith("to") and len(event.text) == 12 for event in sampled)


def test_a_sample_ends_where_the_stop_text_begins(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    stopping = replace(config, sample=replace(config.sample, stop=" ", length=60))
    texts = [event.text for event in run(stopping, vocabulary, ids) if isinstance(event, Sampled)]
    assert texts
    assert all(" " not in text for text in texts)


def test_a_repeating_text_is_learnt(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    longer = with_train(config, steps=150, eval_every=0, save_every=0, sample_every=0)
    (evaluated,) = (event for event in run(longer, vocabulary, ids) if isinstance(event, Evaluated))
    assert evaluated.val_loss is not None
    assert evaluated.val_loss < 0.2 < np.log(vocabulary.size)


def test_the_train_loss_is_the_mean_of_all_steps_since_the_last_evaluation(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
) -> None:
    monkeypatch.setattr(training, "_DISPATCH_SECONDS", 0.0)  # a step a dispatch
    single = [event.train_loss for event in run(config, vocabulary, ids) if isinstance(event, Progress)]
    assert len(single) == 12
    means = [event.train_loss for event in events if isinstance(event, Evaluated)]
    np.testing.assert_allclose(means, np.array(single).reshape(3, 4).mean(1), rtol=1e-5)


def test_the_length_of_a_dispatch_changes_nothing(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
) -> None:
    monkeypatch.setattr(training, "_DISPATCH_SECONDS", 0.0)
    assert_identical(last_state(run(config, vocabulary, ids)), last_state(events))


def test_a_training_that_goes_on_from_a_saved_state_ends_as_one_that_was_never_stopped(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, events: list[Event]
) -> None:
    (middle,) = (event.state for event in events if isinstance(event, Save) and event.step == 6)
    copy = jax.tree.map(lambda leaf: leaf.copy(), middle)
    assert_identical(last_state(run(config, vocabulary, ids, copy)), last_state(events))


def test_asked_to_stop_it_saves_and_ends(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    state = init_state(config, vocabulary.size)
    seen: list[Event] = []
    seen.extend(train(config, state, vocabulary, ids, ids[:0], should_stop=lambda: len(seen) > 0))
    assert [type(event) for event in seen] == [Progress, Save]
    assert seen[-1].step < 12


def test_another_rng_seed_is_another_training(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, events: list[Event]
) -> None:
    other = last_state(run(with_train(config, rng_seed=1), vocabulary, ids))
    assert not np.array_equal(other.params[0].table, last_state(events).params[0].table)


def test_without_held_out_text_the_training_loss_finds_the_best(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    evaluations = [
        event for event in run(config, vocabulary, ids, held_out=0) if isinstance(event, Evaluated)
    ]
    assert [event.val_loss for event in evaluations] == [None] * 3
    assert evaluations[0].is_best


def test_windows_from_zero_state_train_as_well(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    events = run(with_train(config, stateful=False, steps=40), vocabulary, ids)
    losses = [event.val_loss for event in events if isinstance(event, Evaluated)]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0]


def test_a_plateau_lowers_the_rate(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    # So small a patience and so high a rate that some evaluation is no improvement.
    plateau = with_train(config, schedule="plateau", patience=1, learning_rate=5.0, steps=40, warmup_steps=0)
    evaluations = [event for event in run(plateau, vocabulary, ids) if isinstance(event, Evaluated)]
    worse = [not event.is_best for event in evaluations]
    assert any(worse[:-1])
    rates = [event.learning_rate for event in evaluations]
    falls = [later < earlier for earlier, later in pairwise(rates)]
    assert falls == worse[:-1]


def test_a_loss_that_is_not_finite_ends_the_training_before_anything_bad_is_saved(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * np.float32(np.inf), state.params))
    seen: list[Event] = []
    with pytest.raises(
        DivergenceError, match=r"training diverged by step 1: loss nan.*lower train\.learning_rate"
    ):
        seen.extend(train(config, broken, vocabulary, ids[:1000], ids[1000:]))
    assert seen == []
