"""A training, followed from its first step to its last: shown, recorded, saved, and stopped when asked to."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import typer

from jaxrnn_cli import console
from jaxrnn_cli.data import Data
from jaxrnn_cli.destination import Begun

if TYPE_CHECKING:
    from jaxrnn.config import Config
    from jaxrnn.runs.saved_steps import SavedStep
    from jaxrnn.runs.saving import Checkpoints
    from jaxrnn.runs.tensorboard import Write
    from jaxrnn.training.loop import Evaluated
    from jaxrnn.training.state import TrainState

LOSS_CURVE = "loss.png"


def train_run(
    run: Path,
    config: "Config",
    data: Data,
    state: "TrainState",
    *,
    val_loss: float | None = None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Creates a run and trains it to its end.

    Args:
        run: Where.
        config: Resolved.
        data: What it learns from.
        state: Before the first step.
        val_loss: Of that state, in nats per character, where it is known.
        overwrite: Whether to replace a run that is there.
        quiet: Whether to say nothing.

    Raises:
        typer.Exit: A signal asked to stop; all is saved, and the exit code is the signal's.
        DivergenceError: The loss is not finite any more; the last good checkpoint stays.
        SaveError: The run can't be written any more.
    """
    from jaxrnn.layers.losses import nats_to_bits
    from jaxrnn.models.stack import count_parameters
    from jaxrnn.parallel import processes
    from jaxrnn.parallel.devices import training_mesh
    from jaxrnn.runs.checkpoint import help_save_new
    from jaxrnn.runs.creation import create_run
    from jaxrnn.runs.saving import Checkpoints
    from jaxrnn.training.state import place

    say = _say_nothing if quiet else console.note
    tokens = config.corpus.tokens
    different = "" if tokens == "bytes" else f", {data.vocabulary.size} different ones"
    say(
        f"{count_parameters(state.params):,} parameters; {len(data.train_ids):,} {tokens} to learn from, "
        f"{len(data.val_ids):,} held out{different}"
    )
    _say_how_it_is_read(config, data, say)
    if val_loss is not None:
        loss = console.format_loss(val_loss, nats_to_bits(val_loss), tokens)
        say(f"held-out loss before the first step: {loss}")
    environment = _environment(config)
    metrics = [] if val_loss is None else [_first_row(val_loss)]
    with _catch_signals(quiet=quiet) as signals:
        if processes.are_several():
            state = place(training_mesh(config.train), state)
        if processes.is_first():
            create_run(
                run,
                config,
                data.vocabulary,
                data.record,
                state,
                overwrite=overwrite,
                val_loss=val_loss,
                metrics=metrics,
                environment=environment,
            )
        else:
            help_save_new(state)
        say(f"writing to {run}")
        with Checkpoints(run, environment) as checkpoints:
            training = _Training(run, config, data, checkpoints, lambda: bool(signals), quiet)
            latest = _follow(training, state)
            last, best = checkpoints.last, checkpoints.best
            _hear_signals(signals)
    _conclude(run, config, signals, latest, last, best, say)


def resume_run(run: Path, config: "Config", data: Data, begun: Begun, *, quiet: bool) -> None:
    """Goes on with a run from its last checkpoint, to the end that the config has now.

    Raises:
        typer.Exit: As `train_run`.
        DivergenceError: As `train_run`.
        LockedError: Another process writes to the run.
        CheckpointError: No checkpoint is whole, or it is not one of this model.
        SaveError: The run can't be written.
    """
    import jax

    from jaxrnn.parallel import processes
    from jaxrnn.runs.directory import seconds_trained, write_config
    from jaxrnn.runs.environment import differences
    from jaxrnn.runs.resume import describe_schedule
    from jaxrnn.runs.saving import Checkpoints
    from jaxrnn.training.state import init_state

    say = _say_nothing if quiet else console.note
    environment = _environment(config)
    with _catch_signals(quiet=quiet) as signals, Checkpoints(run, environment) as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(lambda: init_state(config, data.vocabulary.size)))
        for damage in restored.damaged:
            say(f"{damage}; set aside")
        if restored.damaged:
            say(f"step {restored.step} is the last good checkpoint")
        if begun.changes:
            say(f"changed since the run began: {', '.join(begun.changes)}")
        if restored.step >= config.train.steps:
            more = "--set train.steps=N prolongs it"
            say(
                f"{run} is finished: it is at step {restored.step}, train.steps is {config.train.steps}; {more}"
            )
            return
        if schedule := describe_schedule(begun.config.train, config.train, restored.step):
            say(schedule)
        if changed := differences(restored.environment, environment):
            say(f"runs on something else now, so the last bits may differ: {', '.join(changed)}")
        if config != begun.config and processes.is_first():
            write_config(run, config)
        _say_how_it_is_read(config, data, say)
        say(f"going on with {run} from step {restored.step} of {config.train.steps}")
        training = _Training(run, config, data, checkpoints, lambda: bool(signals), quiet)
        latest = _follow(training, restored.state, seconds_trained(run))
        last, best = checkpoints.last, checkpoints.best
        _hear_signals(signals)
    _conclude(run, config, signals, latest, last, best, say)


def _say_how_it_is_read(config: "Config", data: Data, say: Callable[[str], None]) -> None:
    """Says what is not as it is with a small text."""
    from jaxrnn.data.stream import Stream

    if isinstance(data.train_ids, Stream):
        folder = data.train_ids.file.path.parent
        say(f"the text is read from the disk, as ids in {folder} (made again if deleted)")
    most, held_out = config.train.eval_tokens, len(data.val_ids)
    if 0 < most < held_out:
        say(
            f"an evaluation reads {most:,} of the {held_out:,} held-out {config.corpus.tokens}, in stretches spread "
            "over all of them (train.eval_tokens)"
        )


def _environment(config: "Config") -> dict[str, str]:
    from jaxrnn.parallel.devices import training_mesh
    from jaxrnn.runs.environment import describe_environment

    return describe_environment(training_mesh(config.train))


def _hear_signals(signals: "list[signal.Signals]") -> None:
    """Adds what asked another process to stop: all of them stop, and with the same exit code."""
    from jaxrnn.parallel import processes

    heard = int(processes.gather_numbers((signals[0] if signals else 0,)).max())
    if heard and not signals:
        signals.append(signal.Signals(heard))


def _conclude(
    run: Path,
    config: "Config",
    signals: "list[signal.Signals]",
    latest: "Evaluated | None",
    last: "SavedStep | None",
    best: "SavedStep | None",
    say: Callable[[str], None],
) -> None:
    """Says how a training ended and what to do next."""
    from jaxrnn.parallel import processes

    tokens = config.corpus.tokens
    if processes.is_first():
        _draw_losses(run, tokens, say)
    at = last.step if last else 0
    then = f"sample from it with: jaxrnn sample --from {shlex.quote(str(run))}"
    if signals and at < config.train.steps:
        say(
            f"stopped by {signals[0].name} and saved at step {at} of {config.train.steps}; the same command with "
            f"--resume goes on; {then}"
        )
        raise typer.Exit(128 + signals[0])
    if latest is not None:
        say(_summary(latest, best.val_loss if best else None, tokens))
    say(then)


class _Training(NamedTuple):
    """What stays the same while a run trains."""

    run: Path
    config: "Config"
    data: Data
    checkpoints: "Checkpoints"
    should_stop: Callable[[], bool]
    quiet: bool


def _follow(training: _Training, state: "TrainState", seconds: float = 0.0) -> "Evaluated | None":
    """Trains to the end, saved, and returns the last evaluation; a training that diverges may go back once."""
    from jaxrnn.errors import DivergenceError, SaveError

    has_gone_back = float(state.rate_scale) < 1
    clock = [seconds]
    config = training.config
    with console.TrainingDisplay(config.train.steps, config.corpus.tokens, quiet=training.quiet) as display:
        while True:
            try:
                latest = _follow_events(training, state, clock, display)
                training.checkpoints.wait()
                return latest
            except SaveError as error:
                left = _what_is_left(training.run, training.checkpoints)
                raise SaveError(f"{error}; {left}, from which --resume goes on") from error
            except DivergenceError as error:
                left = _what_is_left(training.run, training.checkpoints)
                if has_gone_back:
                    raise DivergenceError(f"{error}; {left}, from which --resume goes on") from error
                has_gone_back = True
                state = _go_back(training, clock[0])
                display.said(f"{error}; back to step {int(state.step)}, with a quarter of the learning rate")


def _go_back(training: _Training, seconds: float) -> "TrainState":
    """The last good state of a run that has diverged, with a lower learning rate; noted in its metrics."""
    import jax

    from jaxrnn.parallel import processes
    from jaxrnn.runs.directory import append_metrics
    from jaxrnn.training.state import after_rollback, init_state
    from jaxrnn.training.step import current_rate

    config = training.config
    abstract = jax.eval_shape(lambda: init_state(config, training.data.vocabulary.size))
    state = after_rollback(training.checkpoints.restore(abstract).state)
    step = int(state.step)
    row = {
        "step": step,
        "tokens": step * config.train.tokens_per_step,
        "learning_rate": float(current_rate(config.train, state)),
        "seconds": seconds,
        "event": "rollback",
    }
    if processes.is_first():
        append_metrics(training.run, row)
    return state


def _follow_events(
    training: _Training, state: "TrainState", clock: list[float], display: console.TrainingDisplay
) -> "Evaluated | None":
    """Goes through the events of a training; `clock` keeps the seconds it took so far."""
    from jaxrnn.parallel import processes
    from jaxrnn.runs.tensorboard import open_events

    if not (training.config.log.tensorboard and processes.is_first()):
        return _follow_each(training, state, clock, display, lambda _: None)
    with open_events(training.run, int(state.step)) as write_curves:
        return _follow_each(training, state, clock, display, write_curves)


def _follow_each(
    training: _Training,
    state: "TrainState",
    clock: list[float],
    display: console.TrainingDisplay,
    write_curves: "Write",
) -> "Evaluated | None":
    from jaxrnn.parallel import processes
    from jaxrnn.runs.directory import append_metrics, append_sample
    from jaxrnn.training.loop import Evaluated, Progress, Sampled, Save, train

    run, config, data = training.run, training.config, training.data
    latest = None
    for event in train(
        config,
        state,
        data.vocabulary,
        data.train_ids,
        data.val_ids,
        should_stop=training.should_stop,
        seconds=clock[0],
    ):
        match event:
            case Progress():
                clock[0] = event.seconds
                display.progress(event)
            case Evaluated():
                latest = event
                row = _metrics_row(event)
                if processes.is_first():
                    append_metrics(run, row)
                write_curves(row)
                display.evaluated(event)
            case Sampled():
                append_sample(run, event.step, event.text)
                display.sampled(event)
            case Save():
                training.checkpoints.save(event.step, event.state, event.val_loss)
    return latest


def _first_row(val_loss: float) -> dict[str, object]:
    """The row of metrics.csv for a model before its first step."""
    from jaxrnn.layers.losses import nats_to_bits

    row = {"step": 0, "tokens": 0, "seconds": 0.0, "event": "evaluation"}
    return {**row, "val_loss": val_loss, "bits_per_token": nats_to_bits(val_loss)}


def _metrics_row(event: "Evaluated") -> dict[str, object]:
    from jaxrnn.runs.directory import METRICS_COLUMNS

    row = {column: getattr(event, column) for column in METRICS_COLUMNS if column != "event"}
    return {**row, "event": "evaluation"}


def _what_is_left(run: Path, checkpoints: "Checkpoints") -> str:
    from jaxrnn.errors import SaveError

    with contextlib.suppress(SaveError):  # then the one before it stands
        checkpoints.wait()
    return f"{run} keeps step {checkpoints.last.step}" if checkpoints.last else f"{run} has no checkpoint"


def _summary(latest: "Evaluated", best_loss: float | None, tokens: str) -> str:
    token = console.TOKEN[tokens]
    speed = f"{latest.step:,} steps in {latest.seconds:.1f} s, {latest.tokens_per_second:,.0f} {token}/s"
    if latest.val_loss is None or latest.bits_per_token is None:
        return f"{speed}; train loss {latest.train_loss:.4f} nats"
    line = f"{speed}; held-out loss {console.format_loss(latest.val_loss, latest.bits_per_token, tokens)}"
    if best_loss is not None and best_loss < latest.val_loss:
        line += f", at best {best_loss:.4f}"
    return line


def _draw_losses(run: Path, tokens: str, say: Callable[[str], None]) -> None:
    """Draws the loss curve, where that is possible; a run is complete without it."""
    from jaxrnn.runs.directory import METRICS
    from jaxrnn.runs.plotting import plot_losses

    try:
        plot_losses(run / METRICS, run / LOSS_CURVE, tokens[:-1])
    except ImportError:
        say(f"no {LOSS_CURVE}: for it, pip install matplotlib")
    except OSError as error:
        say(f"no {LOSS_CURVE}: {error}")


def _say_nothing(_message: str) -> None:
    pass


@contextlib.contextmanager
def _catch_signals(*, quiet: bool) -> Iterator[list[signal.Signals]]:
    """Collects SIGINT and SIGTERM instead of dying of them; a SIGINT after the first ends the process at once."""
    caught: list[signal.Signals] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        if not (caught or quiet):
            console.announce_stop()
        caught.append(signal.Signals(number))
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
