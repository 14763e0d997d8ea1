"""Everything that the command line prints.

Samples and tables go to stdout, everything else to stderr. Nothing here reads markup: the text of a corpus
and the names of files are shown as they are, but for control characters, which a terminal would obey.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from jaxrnn_cli.colours import paint_by_surprise, surprise_scale

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as ProgressBar
    from rich.progress import TaskID

    from jaxrnn.gradcheck.check import Check
    from jaxrnn.training.loop import Evaluated, Progress, Sampled

# C0, DEL and C1; a newline and a tab only move the cursor where text may move it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # what Python has for a byte that is none
_LONGEST_LINE = 1000
TOKEN = {"characters": "char", "bytes": "byte"}  # in units


_only_errors = False  # in all but the first of several processes


def say_only_errors() -> None:
    """Prints nothing but errors from here on: what there is to say, another process says."""
    global _only_errors
    _only_errors = True


def use_utf8() -> None:
    """Makes stdout write UTF-8 whatever the locale, and a path with undecodable bytes as those bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def escape(text: str) -> str:
    r"""Returns `text` with control characters spelled out, as in `\x1b`; newlines and tabs stay."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """Returns `text` as one line that no terminal takes for anything but text; a very long one is cut."""
    line = escape(" ".join(part.strip() for part in text.splitlines() if part.strip()).replace("\t", " "))
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "..."


def error(message: str) -> None:
    """Prints the one line of an error to stderr."""
    _print_line(f"jaxrnn: error: {one_line(message)}")


def note(message: str) -> None:
    """Prints a line that informs to stderr."""
    if not _only_errors:
        _print_line(f"jaxrnn: {one_line(message)}")


def _print_line(line: str) -> None:
    # With nobody reading stderr there is nobody to tell; the exit code still says it.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Writes text to stdout at once: as it is into a pipe or a file, on a terminal what it would obey escaped.

    A lone surrogate stands for a byte that is no UTF-8, which is written, or on a terminal escaped as well.

    Raises:
        BrokenPipeError: Nobody reads stdout any more.
    """
    if not _only_errors:
        sys.stdout.write(_for_terminal(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


def _for_terminal(text: str) -> str:
    return _NO_UTF8.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", escape(text))


def can_paint() -> bool:
    """Whether stdout takes colours: a terminal does unless NO_COLOR is set, anything else if FORCE_COLOR is."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_live(sys.stdout)


def explain_surprise(*, is_painted: bool) -> None:
    """Says on stderr what the colours of `write_by_surprise` mean, or that there are none."""
    if not is_painted:
        why = "stdout is no terminal that takes them; FORCE_COLOR=1 asks for them all the same"
        note(f"no colours: {'NO_COLOR is set' if os.environ.get('NO_COLOR') else why}")
        return
    live = is_live(sys.stderr) and not os.environ.get("NO_COLOR")
    _print_line(f"jaxrnn: nats from {surprise_scale(painted=live)} on")


def write_by_surprise(text: str, nats: Sequence[float]) -> None:
    """Writes text to stdout as `write` does, each character in the colour of its surprise.

    Args:
        text: what to write.
        nats: the surprise of each character; none at all for text without colours.

    Raises:
        BrokenPipeError: Nobody reads stdout any more.
    """
    if not nats:
        write(text)
        return
    characters = map(_for_terminal, text) if sys.stdout.isatty() else text
    sys.stdout.write(paint_by_surprise([*characters], nats))
    sys.stdout.flush()


def discard_output() -> None:
    """Points stdout and stderr nowhere, so that Python's last flush can't fail on a pipe that is closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a stream without a file behind it
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_live(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _rich_stderr() -> "Console":
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


# Numbers as people read them.


def format_seconds(seconds: float) -> str:
    """Returns a duration as `0:42`, `12:05` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(count: float) -> str:
    """Returns a size in bytes as `512 B`, `3.4 MB` or `1.2 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def format_loss(nats: float, bits: float, tokens: str) -> str:
    """Returns a held-out loss in both units; `tokens` is a key of `TOKEN`."""
    return f"{nats:.4f} nats ({bits:.3f} bits/{TOKEN[tokens]})"


# Fetching a corpus.


@contextlib.contextmanager
def download_display(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Gives what `load_corpus` reports its progress to: a bar on a terminal, else a line a file.

    The function takes what is being fetched, the bytes done, and the bytes in all (0: unknown).
    """
    if quiet or _only_errors:
        yield None
    elif is_live(sys.stderr):
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        with Progress(*columns, TransferSpeedColumn(), console=_rich_stderr(), transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def redraw(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(escape(what), total=None)
                bar.update(tasks[what], completed=done, total=total or None)

            yield redraw
    else:
        said: set[str] = set()

        def say(what: str, _done: int, _total: int) -> None:
            if what not in said:
                said.add(what)
                note(f"fetching {what}")

        yield say


@contextlib.contextmanager
def work_display(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Gives what a calculation of minutes reports its progress to: a bar on a terminal, else a line for each part.

    The function takes what is being done, how much of it is, and how much there is.
    """
    if quiet or _only_errors:
        yield None
    elif is_live(sys.stderr):
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_rich_stderr(), transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def redraw(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(escape(what))
                bar.update(tasks[what], completed=done, total=total)

            yield redraw
    else:
        said: set[str] = set()

        def say(what: str, _done: int, _total: int) -> None:
            if what not in said:
                said.add(what)
                note(what)

        yield say


# Training.


class TrainingDisplay:
    """Shows training on stderr: a line an evaluation and the sampled texts, on a terminal above a live bar.

    Use it as a context manager; with `quiet` it shows nothing.
    """

    def __init__(self, steps: int, tokens: str = "characters", *, quiet: bool = False) -> None:
        """Prepares a display for a training of `steps` steps in all; `tokens` is a key of `TOKEN`."""
        self._steps = steps
        self._tokens = tokens
        self._speed = f"{TOKEN[tokens]}/s"
        self._quiet = quiet or _only_errors
        self._held_out = ""
        self._bar: ProgressBar | None = None

    def __enter__(self) -> Self:
        """Draws the bar, where there is a terminal for it."""
        if not self._quiet and is_live(sys.stderr):
            self._bar = _training_bar()
            self._task = self._bar.add_task("compiling", total=self._steps)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the bar away; the lines stay."""
        if self._bar is not None:
            self._bar.stop()

    def progress(self, event: "Progress") -> None:
        """Moves the bar, and says what was skipped; without a terminal nothing else is shown between evaluations."""
        if event.skipped:
            updates = "1 update was" if event.skipped == 1 else f"{event.skipped} updates were"
            self._print(f"step {event.step}: {updates} skipped, the loss or the gradient not being finite")
        if self._bar is not None:
            state = (
                f"loss {event.train_loss:.3f}{self._held_out}  {event.tokens_per_second:,.0f} {self._speed}"
            )
            self._bar.update(self._task, completed=event.step, description=state)

    def evaluated(self, event: "Evaluated") -> None:
        """Prints the line of an evaluation."""
        width = len(str(self._steps))
        line = f"step {event.step:{width}}/{self._steps}  train loss {event.train_loss:.4f}"
        if event.val_loss is not None and event.bits_per_token is not None:
            self._held_out = (
                f"  val {event.val_loss:.3f} ({event.bits_per_token:.2f} bits/{TOKEN[self._tokens]})"
            )
            line += f"  val loss {format_loss(event.val_loss, event.bits_per_token, self._tokens)}"
        line += f"  {event.tokens_per_second:,.0f} {self._speed}"
        if event.step < self._steps and event.step > 0:
            left = event.seconds / event.step * (self._steps - event.step)
            line += f"  {format_seconds(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=event.step)
        self._print(line)

    def sampled(self, event: "Sampled") -> None:
        """Prints a text that the model wrote, set off from what is said about it."""
        self._print(f"--- sampled at step {event.step} ---\n{event.text}\n---")

    def said(self, message: str) -> None:
        """Prints a line that informs, above the bar."""
        self._print(f"jaxrnn: {one_line(message)}")

    def _print(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(escape(text)), soft_wrap=True)
        else:
            print(escape(text) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def _training_bar() -> "ProgressBar":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(),
        console=_rich_stderr(),
        refresh_per_second=4,  # often enough for the eye, and the cores have other work
    )


def announce_stop() -> None:
    """Says that training stops; made for a signal handler, which may interrupt a line that is being printed."""
    if _only_errors:
        return
    show_cursor = "\x1b[?25h" if is_live(sys.stderr) else ""  # in case the next signal ends us
    line = f"{show_cursor}\njaxrnn: stopping and saving; Ctrl-C now leaves at once\n"
    with contextlib.suppress(OSError):
        os.write(_stderr_descriptor(), line.encode())


def show_cursor() -> None:
    """Gives a terminal its cursor back, before a process ends whose display can't."""
    if not _only_errors and is_live(sys.stderr):
        with contextlib.suppress(OSError):
            os.write(_stderr_descriptor(), b"\x1b[?25h")


def _stderr_descriptor() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):  # a stream without a file behind it
        return 2


# Gradients.


class GradientTable:
    """Prints the table of the gradient check to stdout, each row as soon as it is known."""

    def __init__(self) -> None:
        """Prints the head of the table."""
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        write(
            f"{'layer':<22} {'gradient of':<22} {'autodiff':>9} {'NumPy':>9} {'differences':>12}  verdict\n"
        )

    def add(self, check: "Check") -> None:
        """Prints one row: the relative error against each oracle, and whether all are small enough."""
        verdict = "proven" if check.passed else "WRONG"
        if self._colours:
            verdict = f"\x1b[{32 if check.passed else 31}m{verdict}\x1b[0m"
        errors = f"{check.autodiff:9.1e} {check.reference:9.1e} {check.differences:12.1e}"
        sys.stdout.write(f"{check.layer:<22} {check.leaf:<22} {errors}  {verdict}\n")
        sys.stdout.flush()
