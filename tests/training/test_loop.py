"""The training loop: its events, and reproducibility from the config."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, ModelConfig
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Vocabulary, with_separator
from jaxrnn.errors import DivergenceError
from jaxrnn.evaluation import validation
from jaxrnn.sampling import Block
from jaxrnn.training import loop
from jaxrnn.training.averaging import averaged
from jaxrnn.training.loop import Evaluated, Event, Logged, Progress, Sampled, Save, train
from jaxrnn.training.state import TrainState, init_state


def with_train(config: Config, **values: object) -> Config:
    return replace(config, train=replace(config.train, **values))  # type: ignore[arg-type]


def run(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    state: TrainState | None = None,
    held_out: int = 200,
) -> list[Event]:
    """All events of a training run."""
    state = state or init_state(config, vocabulary.size)
    return list(train(config, state, *parts(vocabulary, ids, held_out)))


def parts(vocabulary: Vocabulary, ids: np.ndarray, held_out: int = 200) -> tuple[TokenSource, TokenSource]:
    tokens = in_memory(vocabulary, ids)
    return tokens.part(0, 1000), tokens.part(1000, 1000 + held_out)


def last_state(events: Iterable[Event]) -> TrainState:
    return [event.state for event in events if isinstance(event, Save)][-1]


def assert_identical(a: TrainState, b: TrainState) -> None:
    a, b = (state._replace(key=jax.random.key_data(state.key)) for state in (a, b))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def events(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> list[Event]:
    return run(config, vocabulary, ids)


def test_a_separator_is_used_in_training_and_evaluation(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, events: list[Event]
) -> None:
    words = with_separator(vocabulary, " ")
    of_words = run(config, words, ids)
    losses, without = (
        [event.val_loss for event in of if isinstance(event, Evaluated)] for of in (of_words, events)
    )
    assert losses != without
    segments = validation.segment(parts(words, ids)[1])
    assert losses[-1] == validation.evaluate(config.model, last_state(of_words).params, segments)


def test_events_are_yielded_in_order_at_their_steps(events: list[Event]) -> None:
    seen = [(event.step, type(event)) for event in events if not isinstance(event, Progress)]
    bests = {event.step for event in events if isinstance(event, Evaluated) and event.is_best}
    expected: list[tuple[int, type]] = []
    for step in range(1, 13):
        expected += [(step, Logged)] * (step in (1, 5, 10))
        expected += [(step, Evaluated)] * (step in (4, 8, 12))
        expected += [(step, Sampled)] * (step in (8, 12))
        expected += [(step, Save)] * (step in (6, 12) or step in bests)
    assert seen == expected
    assert [event.step for event in events if isinstance(event, Progress)][-1] == 12


def test_events_count_steps_and_characters(events: list[Event]) -> None:
    for event in events:
        if isinstance(event, Progress | Logged | Evaluated):
            assert event.tokens == event.step * 4 * 6
            assert event.tokens_per_second > 0
            assert event.grad_norm > 0


def test_bits_are_nats_divided_by_log_2(events: list[Event]) -> None:
    evaluated = next(event for event in events if isinstance(event, Evaluated))
    assert evaluated.val_loss is not None
    assert evaluated.bits_per_token == pytest.approx(evaluated.val_loss / np.log(2))


def test_a_save_event_has_the_loss_of_its_own_step_only(events: list[Event]) -> None:
    evaluated = {event.step: event.val_loss for event in events if isinstance(event, Evaluated)}
    for event in events:
        if isinstance(event, Save):
            assert event.val_loss == evaluated.get(event.step)
            assert int(event.state.step) == event.step


def test_a_state_kept_by_the_caller_is_never_donated(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    before = jax.device_get(state.params)
    saved = [event for event in run(config, vocabulary, ids, state) if isinstance(event, Save)]
    for kept in (state, *(event.state for event in saved)):
        assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(kept))
    jax.tree.map(np.testing.assert_array_equal, state.params, before)
    assert len({float(event.state.params[0].table.sum()) for event in saved}) == len(saved)
    assert repr(saved[0]) == f"Save(step={saved[0].step}, val_loss={saved[0].val_loss})"


def test_a_sample_is_the_prompt_and_the_requested_number_of_characters(events: list[Event]) -> None:
    sampled = [event for event in events if isinstance(event, Sampled)]
    assert all(event.text.startswith("to") and len(event.text) == 12 for event in sampled)


def test_a_sample_ends_before_the_stop_text(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    stopping = replace(config, sample=replace(config.sample, stop=" ", length=60))
    texts = [event.text for event in run(stopping, vocabulary, ids) if isinstance(event, Sampled)]
    assert texts
    assert all(" " not in text for text in texts)


def test_a_repeating_text_is_memorized(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    longer = with_train(config, steps=150, eval_every=0, save_every=0, sample_every=0)
    (evaluated,) = (event for event in run(longer, vocabulary, ids) if isinstance(event, Evaluated))
    assert evaluated.val_loss is not None
    assert evaluated.val_loss < 0.2 < np.log(vocabulary.size)


def test_the_training_loss_is_the_mean_since_the_last_evaluation(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
) -> None:
    monkeypatch.setattr(loop, "_DISPATCH_SECONDS", 0.0)  # one step per dispatch
    single = [event.train_loss for event in run(config, vocabulary, ids) if isinstance(event, Progress)]
    assert len(single) == 12
    means = [event.train_loss for event in events if isinstance(event, Logged | Evaluated)]
    expected = [np.mean(part) for part in np.split(np.array(single), [1, 4, 5, 8, 10])]
    np.testing.assert_allclose(means, expected, rtol=1e-5)


def test_results_do_not_depend_on_the_length_of_a_dispatch(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
) -> None:
    monkeypatch.setattr(loop, "_DISPATCH_SECONDS", 0.0)
    assert_identical(last_state(run(config, vocabulary, ids)), last_state(events))


def test_a_run_resumed_from_a_saved_state_is_bitwise_identical(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, events: list[Event]
) -> None:
    (middle,) = (event.state for event in events if isinstance(event, Save) and event.step == 6)
    assert_identical(last_state(run(config, vocabulary, ids, middle)), last_state(events))


def test_a_run_stopped_at_any_step_resumes_bitwise_identically(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
) -> None:
    monkeypatch.setattr(loop, "_DISPATCH_SECONDS", 0.0)
    asked = iter([False] * 3 + [True])
    state = init_state(config, vocabulary.size)
    *_, stopped = train(config, state, *parts(vocabulary, ids), should_stop=lambda: next(asked))
    assert isinstance(stopped, Save)
    assert stopped.step == 3  # a step without any event
    rest = run(config, vocabulary, ids, stopped.state)
    assert_identical(last_state(rest), last_state(events))
    losses = [[event.val_loss for event in part if isinstance(event, Evaluated)] for part in (events, rest)]
    assert losses[0] == losses[1]
    samples = [[event.text for event in part if isinstance(event, Sampled)] for part in (events, rest)]
    assert samples[0] == samples[1]


def test_a_stop_request_saves_and_ends(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    state = init_state(config, vocabulary.size)
    seen: list[Event] = []
    seen.extend(train(config, state, *parts(vocabulary, ids, 0), should_stop=lambda: len(seen) > 0))
    assert [type(event) for event in seen] == [Progress, Logged, Save]
    assert seen[-1].step < 12


def test_the_result_depends_on_the_rng_seed(config: Config, vocabulary: Vocabulary) -> None:
    state, other = (init_state(with_train(config, rng_seed=seed), vocabulary.size) for seed in (0, 1))
    assert not np.array_equal(other.params[0].table, state.params[0].table)
    assert (jax.random.key_data(other.key) != jax.random.key_data(state.key)).any()


def test_without_a_validation_split_the_training_loss_selects_the_best(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    evaluations = [
        event for event in run(config, vocabulary, ids, held_out=0) if isinstance(event, Evaluated)
    ]
    assert [event.val_loss for event in evaluations] == [None] * 3
    assert evaluations[0].is_best


def test_training_on_random_windows(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    events = run(with_train(config, stateful=False, steps=40), vocabulary, ids)
    losses = [event.val_loss for event in events if isinstance(event, Evaluated)]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0]


def test_a_plateau_lowers_the_learning_rate(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    # A patience so small and a learning rate so high that some evaluation does not improve.
    plateau = with_train(
        config, schedule="plateau", plateau_patience=1, learning_rate=5.0, steps=40, warmup_steps=0
    )
    evaluations = [event for event in run(plateau, vocabulary, ids) if isinstance(event, Evaluated)]
    worse = [not event.is_best for event in evaluations]
    assert any(worse[:-1])
    rates = [event.learning_rate for event in evaluations]
    falls = [later < earlier for earlier, later in pairwise(rates)]
    assert falls == worse[:-1]


def test_early_stopping_counts_evaluations_without_improvement(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    # A learning rate so high that some evaluation does not improve.
    early = with_train(config, schedule="constant", learning_rate=5.0, steps=400, warmup_steps=0)
    early = with_train(early, eval_every=2, save_every=0, sample_every=0, early_stopping=2)
    events = run(early, vocabulary, ids)
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    *before, last = evaluations
    assert [event.is_best for event in evaluations[-3:]] == [True, False, False]
    assert last.stops_early and not any(event.stops_early for event in before)
    assert not any(pair == (False, False) for pair in pairwise(event.is_best for event in before))
    assert isinstance(events[-1], Save) and events[-1].step == last.step < 400
    assert run(early, vocabulary, ids, last_state(events)) == []  # the run has ended
    assert run(with_train(early, early_stopping=3, steps=last.step + 2), vocabulary, ids, last_state(events))


def test_keep_every_saves_a_state(config: Config, vocabulary: Vocabulary, ids: np.ndarray) -> None:
    kept = with_train(config, steps=7, eval_every=0, save_every=0, sample_every=0, keep_every=3)
    events = run(kept, vocabulary, ids)
    assert [event.step for event in events if isinstance(event, Save)] == [3, 6, 7]


def test_a_loss_that_is_not_finite_ends_training_before_it_is_saved(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    state = init_state(config, vocabulary.size)
    broken = state._replace(params=jax.tree.map(lambda leaf: leaf * np.float32(np.inf), state.params))
    seen: list[Event] = []
    with pytest.raises(
        DivergenceError, match=r"training diverged by step 1: loss nan.*lower train\.learning_rate"
    ):
        seen.extend(train(config, broken, *parts(vocabulary, ids)))
    assert seen == []


def test_divergence_is_reported_and_every_saved_state_is_finite(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    deep = ModelConfig(layers=(EmbeddingConfig(size=4), *[DenseConfig(size=4)] * 10, DenseConfig()))
    absurd = with_train(
        replace(config, model=deep), learning_rate=100.0, max_grad_norm=0.0, save_every=1, schedule="constant"
    )
    state = init_state(absurd, vocabulary.size)
    seen: list[Event] = []
    with pytest.raises(DivergenceError, match=r"learning rate 100; lower train\.learning_rate"):
        seen.extend(train(absurd, state, *parts(vocabulary, ids)))
    assert isinstance(seen[-1], Save)
    for event in seen:
        if isinstance(event, Save):
            leaves = jax.tree.leaves((event.state.params, event.state.loss_sum))
            assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_a_validation_loss_that_is_not_finite_ends_training(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "evaluate", lambda *_: float("nan"))
    seen: list[Event] = []
    state = init_state(config, vocabulary.size)
    with pytest.raises(DivergenceError, match="diverged by step 4: loss nan"):
        seen.extend(train(config, state, *parts(vocabulary, ids)))
    assert {type(event) for event in seen} == {Progress, Logged}


# Averages and other options of a step.

OPTIONS: list[dict[str, object]] = [
    {"ema_decay": 0.8, "optimizer": "muon", "beta1": 0.95},
    {"ema_decay": 0.5, "reset_rate": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_resumed_run_with_options_is_bitwise_identical(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray, options: dict[str, object]
) -> None:
    config = with_train(config, save_every=1, **options)
    events = run(config, vocabulary, ids)
    (middle,) = (event.state for event in events if isinstance(event, Save) and event.step == 6)
    rest = run(config, vocabulary, ids, middle)
    assert_identical(last_state(rest), last_state(events))
    losses = [
        [event.val_loss for event in part if isinstance(event, Evaluated) and event.step > 6]
        for part in (events, rest)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_average_is_evaluated_and_sampled(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
) -> None:
    sampled: list[object] = []

    def sample(_config: object, params: object, *_args: object, **_options: object) -> list[Block]:
        sampled.append(jax.device_get(params))
        return [Block(ids[:10][None], np.zeros((1, 0), np.float32))]

    monkeypatch.setattr(loop, "sample", sample)
    config = with_train(config, save_every=1, **options)
    segments = validation.segment(parts(vocabulary, ids)[1])
    evaluated = samples = 0
    for event in run(config, vocabulary, ids):
        if isinstance(event, Sampled):
            samples += 1
        if not isinstance(event, Save):
            continue
        params = averaged(event.state.params, event.state.average)
        assert not np.array_equal(params[0].table, event.state.params[0].table) or event.step == 1
        if event.val_loss is not None:
            assert validation.evaluate(config.model, params, segments) == event.val_loss
            evaluated += 1
        if event.step in (8, 12):
            jax.tree.map(np.testing.assert_array_equal, sampled.pop(0), params)
    assert (evaluated, samples) == (3, 2)


def test_an_average_memorizes_a_repeating_text(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    for options in OPTIONS:
        longer = with_train(config, steps=200, eval_every=50, save_every=0, sample_every=0, **options)
        losses = [event.val_loss for event in run(longer, vocabulary, ids) if isinstance(event, Evaluated)]
        assert losses[-1] is not None
        assert losses[-1] < 0.3, (options, losses)


def test_skipped_updates_give_no_loss_no_best_and_no_plateau(
    config: Config, vocabulary: Vocabulary, ids: np.ndarray
) -> None:
    plateau = with_train(
        config, schedule="plateau", plateau_patience=1, steps=2, eval_every=1, sample_every=0
    )
    state = init_state(plateau, vocabulary.size)
    *others, head = state.params
    far_apart = np.float32(3e38) * (-1) ** np.arange(vocabulary.size)  # finite, but with infinite differences
    state = state._replace(params=(*others, head._replace(b=far_apart.astype(np.float32))))
    events = run(plateau, vocabulary, ids, state, held_out=0)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [(event.skipped, event.is_best) for event in evaluated] == [(1, False)] * 2
    assert all(np.isnan(event.train_loss) for event in evaluated)
    last = last_state(events)
    kept = [float(value) for value in (last.best_val_loss, last.plateau.scale, last.plateau.waited)]
    assert kept == [np.inf, 1, 0]


@pytest.mark.parametrize(
    ("owner", "name", "is_evaluated"), [(validation, "evaluate", False), (loop, "_write", True)]
)
def test_a_failed_evaluation_or_sample_loses_no_steps(
    config: Config,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    is_evaluated: bool,
) -> None:
    def fail(*_: object) -> float:
        raise MemoryError

    monkeypatch.setattr(owner, name, fail)
    short = with_train(config, steps=3, eval_every=0, save_every=0, sample_every=5)
    stream = train(short, init_state(short, vocabulary.size), *parts(vocabulary, ids))
    saved = next(event for event in stream if isinstance(event, Save))
    assert (saved.step, saved.val_loss is not None) == (3, is_evaluated)
    with pytest.raises(MemoryError):
        next(stream)
