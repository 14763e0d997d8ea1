"""A training, followed from its first step to its last: shown, recorded, saved, and stopped when asked to."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from jaxrnn_cli import console
from jaxrnn_cli.data import Data

if TYPE_CHECKING:
    from jaxrnn.checkpoint import Checkpoints
    from jaxrnn.config import Config
    from jaxrnn.train_state import TrainState
    from jaxrnn.training import Evaluated

LOSS_CURVE = "loss.png"


def start_jax(config: "Config") -> None:
    """Starts JAX with as many CPU devices as the config means, or as the user has set outside of it.

    Raises:
        ConfigError: The devices can't share the batch, or there are not so many.
    """
    import jax

    from jaxrnn.devices import choose_cpu_devices, training_mesh

    devices = choose_cpu_devices(config)
    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):  # JAX runs already, with the devices it has
            jax.config.update("jax_num_cpu_devices", devices)  # type: ignore[no-untyped-call]
    training_mesh(config.train)


def train_run(run: Path, config: "Config", data: Data, *, overwrite: bool, quiet: bool) -> None:
    """Creates a run and trains it to its end.

    Raises:
        typer.Exit: A signal asked to stop; all is saved, and the exit code is the signal's.
        DivergenceError: The loss is not finite any more; the last good checkpoint stays.
        SaveError: The run can't be written any more.
    """
    from jaxrnn.checkpoint import Checkpoints
    from jaxrnn.model import count_parameters
    from jaxrnn.new_run import create_run
    from jaxrnn.train_state import init_state

    say = _say_nothing if quiet else console.note
    state = init_state(config, data.vocabulary.size)
    say(
        f"{count_parameters(state.params):,} parameters; {len(data.train_ids):,} characters to learn from, "
        f"{len(data.val_ids):,} held out, {data.vocabulary.size} different ones"
    )
    with _catch_signals(quiet=quiet) as signals:
        create_run(run, config, data.vocabulary, data.record, state, overwrite=overwrite)
        say(f"writing to {run}")
        with Checkpoints(run) as checkpoints:
            latest = _follow(run, config, data, state, checkpoints, lambda: bool(signals), quiet=quiet)
            checkpoints.wait()
            last, best = checkpoints.last, checkpoints.best
    _draw_losses(run, say)
    at = last.step if last else 0
    then = f"sample from it with: jaxrnn sample --from {shlex.quote(str(run))}"
    if signals and at < config.train.steps:
        say(f"stopped by {signals[0].name} and saved at step {at} of {config.train.steps}; {then}")
        raise typer.Exit(128 + signals[0])
    if latest is not None:
        say(_summary(latest, best.val_loss if best else None))
    say(then)


def _follow(
    run: Path,
    config: "Config",
    data: Data,
    state: "TrainState",
    checkpoints: "Checkpoints",
    should_stop: Callable[[], bool],
    *,
    quiet: bool,
) -> "Evaluated | None":
    """Goes through the events of a training; returns its last evaluation."""
    from jaxrnn.errors import DivergenceError
    from jaxrnn.run_directory import append_metrics, append_sample
    from jaxrnn.training import Evaluated, Progress, Sampled, Save, train

    latest = None
    events = train(config, state, data.vocabulary, data.train_ids, data.val_ids, should_stop=should_stop)
    with console.TrainingDisplay(config.train.steps, quiet=quiet) as display:
        try:
            for event in events:
                match event:
                    case Progress():
                        display.progress(event)
                    case Evaluated():
                        latest = event
                        append_metrics(run, _metrics_row(event))
                        display.evaluated(event)
                    case Sampled():
                        append_sample(run, event.step, event.text)
                        display.sampled(event)
                    case Save():
                        checkpoints.save(event.step, event.state, event.val_loss)
        except DivergenceError as error:
            raise DivergenceError(f"{error}; {_what_is_left(run, checkpoints)}") from error
    return latest


def _metrics_row(event: "Evaluated") -> dict[str, object]:
    from jaxrnn.run_directory import METRICS_COLUMNS

    row = {column: getattr(event, column) for column in METRICS_COLUMNS if column != "event"}
    return {**row, "event": "evaluation"}


def _what_is_left(run: Path, checkpoints: "Checkpoints") -> str:
    from jaxrnn.errors import SaveError

    with contextlib.suppress(SaveError):  # then the one before it stands
        checkpoints.wait()
    return f"{run} keeps step {checkpoints.last.step}" if checkpoints.last else f"{run} has no checkpoint"


def _summary(latest: "Evaluated", best_loss: float | None) -> str:
    speed = f"{latest.step:,} steps in {latest.seconds:.1f} s, {latest.chars_per_second:,.0f} char/s"
    if latest.val_loss is None or latest.bits_per_char is None:
        return f"{speed}; train loss {latest.train_loss:.4f} nats"
    line = f"{speed}; held-out loss {console.format_loss(latest.val_loss, latest.bits_per_char)}"
    if best_loss is not None and best_loss < latest.val_loss:
        line += f", at best {best_loss:.4f}"
    return line


def _draw_losses(run: Path, say: Callable[[str], None]) -> None:
    """Draws the loss curve, where that is possible; a run is complete without it."""
    from jaxrnn.plotting import plot_losses
    from jaxrnn.run_directory import METRICS

    try:
        plot_losses(run / METRICS, run / LOSS_CURVE)
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
