"""Execution of a training run: creating or resuming it, recording metrics, saving, rolling back, stopping."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxrnn.config import Config
from jaxrnn.errors import DivergenceError, SaveError, counted
from jaxrnn.evaluation import validation
from jaxrnn.layers.losses import nats_to_bits
from jaxrnn.loggers import Write, open_loggers
from jaxrnn.models.stack import count_parameters
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import training_mesh
from jaxrnn.runs.checkpoint import help_save_new, load_params
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import (
    METRICS,
    METRICS_COLUMNS,
    append_metrics,
    append_sample,
    read_vocabulary,
    write_config,
)
from jaxrnn.runs.environment import describe_changes, describe_environment
from jaxrnn.runs.metrics import metrics_columns, read_metrics, seconds_trained, tokens_trained
from jaxrnn.runs.plotting import plot_losses
from jaxrnn.runs.resume import describe_schedule
from jaxrnn.runs.saved_steps import Which
from jaxrnn.runs.saving import Checkpoints
from jaxrnn.training import loop
from jaxrnn.training.finetuning import adapt_params
from jaxrnn.training.leaves import Leaves
from jaxrnn.training.loop import Evaluated, Event, Logged, Progress, Sampled, Save
from jaxrnn.training.profiling import prepare_profile
from jaxrnn.training.state import (
    TrainState,
    after_rollback,
    in_layout,
    init_state,
    place,
    run_keys,
    start_state,
    stops_early,
    with_layout,
)
from jaxrnn.training.step import current_rate
from jaxrnn.workflows.corpus import Data
from jaxrnn.workflows.job import Job, Note, ignore
from jaxrnn.workflows.run import MemoryCheckpoints, Run

LOSS_CURVE = "loss.png"
_EARLY = "ends early, at step {}: no better loss in {} evaluations; --set train.early_stopping=0 continues it"

OnEvent: TypeAlias = Callable[[Event | Note], None]


class _Training(NamedTuple):
    """The constants of a training run."""

    path: Path | None
    config: Config
    data: Data
    checkpoints: Checkpoints | MemoryCheckpoints
    rows: list[dict[str, object]]  # the metrics, if trained in memory
    on_event: OnEvent
    should_stop: Callable[[], bool]
    log_to: tuple[str, ...]
    profile: Path | None

    def record(self, row: dict[str, object]) -> None:
        """Add a row to the metrics."""
        if self.path is None:
            self.rows.append(row)
        elif processes.is_first():
            self.checkpoints.check_in_place()
            append_metrics(self.path, row)


def train(
    job: Job,
    data: Data,
    *,
    on_event: OnEvent = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Create or resume the run of a job, and train it to its end.

    Args:
        job: The training run and its directory.
        data: Its corpus.
        on_event: Receives each event of the training loop, and a `Note` for each message to the user.
        should_stop: Called a few times per second; once it returns True, the state is saved and the run is returned.

    Raises:
        DivergenceError: The loss is no longer finite; the last good checkpoint is kept.
        LockedError: Another process writes to the run.
        CheckpointError: No checkpoint of a resumed run is intact, or the checkpoint is of another model.
        SaveError: The run or the profile can't be written.
    """
    config, path = data.config, job.path
    if job.profile:
        prepare_profile(job.profile)
    rows: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:
        checkpoints: Checkpoints | MemoryCheckpoints = MemoryCheckpoints(config.train.keep_every)
        state: TrainState | None
        if job.begun:
            assert path is not None
            checkpoints = stack.enter_context(_open_checkpoints(path, config))
            state = _resume(path, job, data, checkpoints, on_event)
        else:
            state, val_loss = _create(job, data, rows, on_event)
            if path is None:
                checkpoints.save(0, state, val_loss)
            else:
                checkpoints = stack.enter_context(_open_checkpoints(path, config))
        if state is not None:
            training = _Training(
                path, config, data, checkpoints, rows, on_event, should_stop, job.log_to, job.profile
            )
            _follow(training, state, seconds_trained(path / METRICS) if path and job.begun else 0.0)
        step = checkpoints.last.step if checkpoints.last else 0
    if path is None:
        states = checkpoints.states if isinstance(checkpoints, MemoryCheckpoints) else {}
        return Run(config, data.vocabulary, metrics_columns(rows), None, step, states)
    if state is not None and processes.is_first():
        _draw_losses(path, data.vocabulary.unit, on_event)
    return Run(config, data.vocabulary, read_metrics(path / METRICS), path, step, {})


def _open_checkpoints(path: Path, config: Config) -> Checkpoints:
    return Checkpoints(path, _environment(config), config.train.keep_every)


# The first state.


def _create(
    job: Job, data: Data, rows: list[dict[str, object]], on_event: OnEvent
) -> tuple[TrainState, float | None]:
    """Make a new run; return the state before its first step, and the validation loss if it was evaluated."""
    config, unit = data.config, data.vocabulary.unit
    state, val_loss = _new_state(data), None
    if job.source:
        state, val_loss = _adapted_state(job.source, job.checkpoint, data)
    on_event(
        Note(
            f"{count_parameters(state.params):,} parameters; {counted(len(data.train_ids), unit)} to train on, "
            f"{len(data.val_ids):,} for validation; {data.vocabulary.size} in the vocabulary"
        )
    )
    _report_reading(data, on_event)
    if val_loss is not None:
        rows.append(_first_row(val_loss))
        loss = f"{val_loss:.4f} nats ({nats_to_bits(val_loss):.3f} bits)"
        on_event(Note(f"validation loss before the first step: {loss} per {unit}"))
    if job.path is None:
        return state, val_loss
    mesh = training_mesh(config.train)
    if processes.are_several():
        state = place(mesh, state)
    if processes.is_first():
        create_run(
            job.path,
            config,
            data.vocabulary,
            data.record,
            state,
            overwrite=job.overwrite,
            val_loss=val_loss,
            metrics=rows,
            environment=_environment(config),
        )
    else:
        help_save_new(state)
    on_event(Note(f"writing to {job.path}"))
    return state, val_loss


def _new_state(data: Data) -> TrainState:
    return init_state(data.config, data.vocabulary.size)


def _adapted_state(source: Path, which: Which, data: Data) -> tuple[TrainState, float | None]:
    """Return the state with the parameters of the run that is fine-tuned, and their validation loss."""
    config, known = data.config, read_vocabulary(source)
    params = load_params(source, config.model, known.size, which)
    params_key, _ = run_keys(config.train)
    params = adapt_params(params, known, data.vocabulary, params_key)
    state = start_state(config, params)
    if not data.val_ids:
        return state, None
    segments = validation.segment(data.val_ids, limit=config.train.eval_tokens)
    val_loss = validation.evaluate(config.model, params, segments)
    return state._replace(best_val_loss=jnp.float32(val_loss)), val_loss


def _first_row(val_loss: float) -> dict[str, object]:
    """Return the row of metrics.csv for a model before its first step."""
    row = {"step": 0, "tokens": 0, "seconds": 0.0, "event": "evaluation"}
    return {**row, "val_loss": val_loss, "bits_per_token": nats_to_bits(val_loss)}


def _resume(
    path: Path, job: Job, data: Data, checkpoints: Checkpoints, on_event: OnEvent
) -> TrainState | None:
    """Take a run back to its last checkpoint; return None if it is finished."""
    config, begun = data.config, job.begun
    assert begun is not None
    restored = checkpoints.restore(partial(_abstract, data))
    for damage in restored.damaged:
        on_event(Note(f"{damage}; set aside"))
    if restored.damaged:
        on_event(Note(f"step {restored.step} is the last intact checkpoint"))
    if begun.changes:
        on_event(Note(f"changed since the run began: {', '.join(begun.changes)}"))
    if restored.step >= config.train.steps:
        now = f"it is at step {restored.step}, train.steps is {config.train.steps}"
        on_event(Note(f"{path} is finished: {now}; --set train.steps=N prolongs it"))
        return None
    if stops_early(config.train, restored.state):
        on_event(Note(f"{path} {_EARLY.format(restored.step, config.train.early_stopping)}"))
        return None
    if schedule := describe_schedule(begun.config.train, config.train, restored.step):
        on_event(Note(schedule))
    if changed := describe_changes(restored.environment, _environment(config)):
        on_event(
            Note(f"the environment has changed, results may not be bitwise identical: {', '.join(changed)}")
        )
    if config != begun.config and processes.is_first():
        write_config(path, config)
    _report_reading(data, on_event)
    on_event(Note(f"resuming {path} from step {restored.step} of {config.train.steps}"))
    return _in_layout(path, data, restored.state, on_event)


def _abstract(data: Data, leaves: Leaves) -> TrainState:
    """Return the structure of the saved state, with the batch sizes that it was saved with."""
    config = data.config
    if "layout" in leaves:
        config = replace(config, train=with_layout(config.train, leaves["layout"]))
    state: TrainState = jax.eval_shape(lambda: init_state(config, data.vocabulary.size))
    return state


def _in_layout(path: Path, data: Data, saved: TrainState, on_event: OnEvent) -> TrainState:
    """Return the state for batches of the config's sizes; a row of the metrics records a change."""
    train, before = data.config.train, with_layout(data.config.train, saved.layout)
    if train == before:
        return saved
    step = int(saved.step)
    if processes.is_first():
        tokens = tokens_trained(path / METRICS, step, before.tokens_per_step)
        seconds = seconds_trained(path / METRICS)
        append_metrics(path, {"step": step, "tokens": tokens, "seconds": seconds, "event": "batch size"})
    on_event(
        Note(
            "the batch size has changed: the run continues at the same position of the corpus from zero states, and "
            "is not bitwise identical to a run without the change"
        )
    )
    return in_layout(data.config, saved, len(data.train_ids))


def _report_reading(data: Data, on_event: OnEvent) -> None:
    """Report when the corpus is streamed from disk, and when only a part of the validation split is evaluated."""
    if file := data.train_ids.file:
        where = f"as token ids in {file.parent} (made again if deleted)"
        on_event(Note(f"the corpus is streamed from disk, {where}"))
    most, held_out = data.config.train.eval_tokens, len(data.val_ids)
    if 0 < most < held_out:
        on_event(
            Note(
                f"an evaluation reads {most:,} of the {held_out:,} validation {data.config.corpus.tokens}, in "
                "segments spread over all of them (train.eval_tokens)"
            )
        )


def _environment(config: Config) -> dict[str, str]:
    return describe_environment(training_mesh(config.train))


# The steps.


def _follow(training: _Training, state: TrainState, seconds: float) -> None:
    """Train to the end and save; a run that diverges is rolled back once."""
    has_gone_back = float(state.rate_scale) < 1
    clock = [seconds]
    while True:
        try:
            with _loggers(training, int(state.step)) as log:
                _follow_events(training, state, clock, log)
            training.checkpoints.wait()
            return
        except SaveError as error:
            raise SaveError(f"{error}{_describe_last(training)}") from error
        except DivergenceError as error:
            last = _describe_last(training)
            if has_gone_back:
                raise DivergenceError(f"{error}{last}") from error
            has_gone_back = True
            state = _roll_back(training, clock[0])
            step = int(state.step)
            training.on_event(Note(f"{error}; back to step {step}, with a quarter of the learning rate"))


@contextlib.contextmanager
def _loggers(training: _Training, step: int) -> Iterator[Write]:
    """Yield the function that sends a row of the metrics to the loggers of the job."""
    if training.path is None or not processes.is_first():
        yield ignore
    else:

        def on_failure(message: str) -> None:
            training.on_event(Note(message))

        with open_loggers(training.log_to, training.path, training.config, step, on_failure) as log:
            yield log


def _follow_events(training: _Training, state: TrainState, clock: list[float], log: Write) -> None:
    """Record, save and pass on the events of a training run; `clock` keeps the seconds it took so far."""
    data = training.data
    for event in loop.train(
        training.config,
        state,
        data.train_ids,
        data.val_ids,
        should_stop=training.should_stop,
        seconds=clock[0],
        tokens=_tokens(training, int(state.step)),
        donate=training.path is not None,  # in memory the first state is a checkpoint too
        profile=training.profile,
    ):
        match event:
            case Progress():
                clock[0] = event.seconds
            case Logged() | Evaluated():
                row = {column: getattr(event, column, None) for column in METRICS_COLUMNS}
                row["event"] = "evaluation" if isinstance(event, Evaluated) else "training"
                training.record(row)
                log(row)
                if isinstance(event, Evaluated) and event.stops_early:
                    patience = training.config.train.early_stopping
                    training.on_event(Note(f"the run {_EARLY.format(event.step, patience)}"))
            case Sampled() if training.path is not None:
                training.checkpoints.check_in_place()
                append_sample(training.path, event.step, event.text)
            case Save():
                training.checkpoints.save(event.step, event.state, event.val_loss)
        training.on_event(event)


def _tokens(training: _Training, step: int) -> int:
    tokens_per_step = training.config.train.tokens_per_step
    if training.path is None:
        return step * tokens_per_step
    return tokens_trained(training.path / METRICS, step, tokens_per_step)


def _roll_back(training: _Training, seconds: float) -> TrainState:
    """Return the last good state of a diverged run, with a lower learning rate; record that in its metrics."""
    config = training.config
    state = after_rollback(training.checkpoints.restore(partial(_abstract, training.data)).state)
    step = int(state.step)
    training.record(
        {
            "step": step,
            "tokens": _tokens(training, step),
            "learning_rate": float(current_rate(config.train, state)),
            "seconds": seconds,
            "event": "rollback",
        }
    )
    return state


def _describe_last(training: _Training) -> str:
    with contextlib.suppress(SaveError):  # the previous checkpoint is the last one then
        training.checkpoints.wait()
    if training.path is None or not (last := training.checkpoints.last):
        return ""
    return f"; {training.path} keeps step {last.step}, from which --resume continues"


def _draw_losses(run: Path, unit: str, on_event: OnEvent) -> None:
    """Draw the loss curve; a failure is reported, but does not fail the run."""
    try:
        plot_losses(run / METRICS, run / LOSS_CURVE, unit)
    except ImportError:
        on_event(Note(f"no {LOSS_CURVE}: for it, pip install matplotlib"))
    except Exception as error:  # any error in matplotlib
        on_event(Note(f"no {LOSS_CURVE}: {' '.join(str(error).split())}"))
