"""Display of a training run on stderr: evaluations, sampled text, and a progress bar on a terminal."""

import math
import shlex
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import jaxrnn
from jaxrnn.errors import counted
from jaxrnn_cli.display.bar import bar_line
from jaxrnn_cli.display.console import escape, is_live, is_quiet, note, one_line, print_lines, rich_stderr
from jaxrnn_cli.display.numbers import TOKEN, format_loss, format_seconds

if TYPE_CHECKING:
    from rich.live import Live

    from jaxrnn.training import Evaluated, Event, Logged, Progress, Sampled
    from jaxrnn.workflows import Note, Run

_QUIET_SECONDS = 10  # minimum time between lines in a log file
_SAMPLE_SECONDS = 30  # minimum time between printed samples; samples.txt has all


class TrainingDisplay:
    """Display of training events: a context manager, with `show` as the callback."""

    def __init__(self, steps: int, tokens: str = "characters", *, quiet: bool = False) -> None:
        """Prepare the display of a run of `steps` steps; `tokens` is a key of `TOKEN`; `quiet` prints nothing."""
        self._steps = steps
        self._tokens = tokens
        self._speed = f"{TOKEN[tokens]}/s"
        self._quiet = quiet or is_quiet()
        self._state = ["compiling"]  # parts of the bar, the most important first
        self._val_loss = self._left = ""
        self._printed_at = self._sampled_at = -math.inf
        self._latest: Evaluated | None = None
        self._since = self._reached = (0, 0.0)  # (step, seconds) at the start of the estimate, and now
        self._bar: Live | None = None

    def __enter__(self) -> Self:
        """Draw the bar on a terminal."""
        if not self._quiet and is_live(sys.stderr):
            self._bar = self._make_bar()
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar; printed lines stay."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, event: "Event | Note") -> None:
        """Display an event."""
        match event:
            case jaxrnn.training.Progress():
                self._progress(event)
            case jaxrnn.training.Logged():
                self._logged(event)
            case jaxrnn.training.Evaluated():
                self._evaluated(event)
            case jaxrnn.training.Sampled():
                self._sampled(event)
            case jaxrnn.workflows.Note():
                self._print(f"jaxrnn: {one_line(event.message)}")

    def _progress(self, event: "Progress") -> None:
        """Update the bar, and report skipped updates."""
        if event.skipped:
            updates = "1 update was" if event.skipped == 1 else f"{event.skipped} updates were"
            self._print(
                f"step {event.step}: {updates} skipped because of a loss or gradient that is not finite"
            )
        self._reached = event.step, event.seconds
        if not self._since[0] or event.step < self._since[0]:  # the first one, or after a rollback
            self._since = self._reached
        left = self._seconds_left(*self._reached)
        if left is not None or event.step >= self._steps:
            self._left = "" if left is None else f"{format_seconds(left)} left"
        speed = f"{event.tokens_per_second:,.0f} {self._speed}"
        self._state = [f"loss {event.train_loss:.3f}", *([self._val_loss] if self._val_loss else []), speed]

    def _sampled(self, event: "Sampled") -> None:
        """Print a sample if the last printed one is at least 30 s old, or training ends."""
        now = self._reached[1]
        if now - self._sampled_at >= _SAMPLE_SECONDS or event.step >= self._steps:
            self._sampled_at = now
            self._print(f"--- sampled at step {event.step} ---\n{event.text}\n---")

    def _logged(self, event: "Logged") -> None:
        """Print a line if stderr is not a terminal and the last line is at least 10 s old."""
        if self._bar is None and event.seconds - self._printed_at >= _QUIET_SECONDS:
            self._printed_at = event.seconds
            self._print(self._losses(event))

    def _seconds_left(self, step: int, seconds: float) -> float | None:
        """Estimate the remaining seconds without the first dispatch and evaluation, which compile; None if unknown."""
        since_step, since_seconds = self._since
        if step <= since_step or step >= self._steps:
            return None
        return (seconds - since_seconds) / (step - since_step) * (self._steps - step)

    def _losses(self, event: "Logged | Evaluated") -> str:
        width = len(str(self._steps))
        return f"step {event.step:{width}}/{self._steps}  train loss {event.train_loss:.4f}"

    def _evaluated(self, event: "Evaluated") -> None:
        if self._latest is None:
            left = self._seconds_left(*self._reached)  # this evaluation has compiled
            self._since = event.step, event.seconds
        else:
            left = self._seconds_left(event.step, event.seconds)
        self._latest, self._printed_at = event, event.seconds
        line = self._losses(event)
        if event.val_loss is not None and event.bits_per_token is not None:
            self._val_loss = (
                f"val {event.val_loss:.3f} ({event.bits_per_token:.2f} bits/{TOKEN[self._tokens]})"
            )
            line += f"  val loss {format_loss(event.val_loss, event.bits_per_token, self._tokens)}"
        line += f"  {event.tokens_per_second:,.0f} {self._speed}"
        if left is not None:
            line += f"  {format_seconds(left)} left"
        self._print(line)

    def conclude(self, run: "Run", stopped_by: Sequence[str]) -> None:
        """Print how the run ended and the next command; `stopped_by` lists the signals that stopped it."""
        if self._quiet:
            return
        then = f"sample from it with: jaxrnn sample --from {shlex.quote(str(run.path))}"
        if stopped_by:
            note(
                f"stopped by {stopped_by[0]} and saved at step {run.step} of {self._steps}; the same command with "
                f"--resume continues it; {then}"
            )
            return
        if self._latest is not None:
            note(self._summary(self._latest, run))
        note(then)

    def _summary(self, latest: "Evaluated", run: "Run") -> str:
        steps, per_second = counted(latest.step, "step"), f"{latest.tokens_per_second:,.0f} {self._speed}"
        speed = f"{steps} in {latest.seconds:.1f} s, {per_second}"
        if latest.val_loss is None or latest.bits_per_token is None:
            return f"{speed}; train loss {latest.train_loss:.4f} nats"
        line = f"{speed}; validation loss {format_loss(latest.val_loss, latest.bits_per_token, self._tokens)}"
        best = min(loss for loss in run.metrics["val_loss"].tolist() if not math.isnan(loss))
        return line if best >= latest.val_loss else f"{line}, best {best:.4f}"

    def _make_bar(self) -> "Live":
        # Imported here because importing rich would slow down `jaxrnn --help`.
        from rich.live import Live
        from rich.text import Text

        console = rich_stderr()
        full = "=" if console.options.ascii_only else "━"

        def draw() -> Text:
            width = console.width - 3  # room for the ^C of a terminal, which would wrap
            return Text(bar_line(width, self._reached[0], self._steps, self._state, self._left, full))

        # Low refresh rate, to leave the cores to training. The bar is removed at the end.
        return Live(get_renderable=draw, console=console, refresh_per_second=4, transient=True)

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            from rich.text import Text  # already imported by the bar

            self._bar.console.print(Text(escape(text)), soft_wrap=True)
        else:
            print_lines(text)
