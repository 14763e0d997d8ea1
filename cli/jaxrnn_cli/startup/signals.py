"""Signal handlers: stop and save a training run, and never lose a Ctrl-C."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

import jaxrnn
from jaxrnn_cli.display.console import announce_stop, error


def interrupt_imports() -> None:
    """Let Ctrl-C end the process at once during imports.

    C++ modules turn a KeyboardInterrupt into an ImportError, lose it, or crash. Nothing has been written at that time.
    An ignored SIGINT (`nohup`) stays ignored.
    """

    def interrupt(_number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
                error("interrupted")
                os._exit(130)
            frame = frame.f_back
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, interrupt)


@contextlib.contextmanager
def leave_quietly() -> Iterator[None]:
    """Let Ctrl-C end the process at once without a message, even in JAX's callbacks, which lose exceptions.

    Output must be flushed already. An ignored SIGINT (`nohup`) stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(128 + signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def catch_signals(*, quiet: bool) -> Iterator[list[signal.Signals]]:
    """Collect the signals that stop a run; a SIGINT after the first signal ends the process at once.

    A closing terminal sends SIGHUP, a batch scheduler SIGUSR1 before it ends a job. An ignored signal (`nohup`) stays
    ignored.
    """
    caught: list[signal.Signals] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        if not (caught or quiet):
            announce_stop()
        caught.append(signal.Signals(number))
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in stopping}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def share_signals(signals: list[signal.Signals]) -> None:
    """Add the signal that another process received, so that all processes stop with the same exit code."""
    received = int(jaxrnn.parallel.processes.gather_numbers((signals[0] if signals else 0,)).max())
    if received and not signals:
        signals.append(signal.Signals(received))
