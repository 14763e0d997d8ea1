"""Output of libraries is suppressed without losing signals."""

import logging
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from jaxrnn_cli.startup import quiet


class Failing:
    """An object whose destructor raises an error, which Python passes to `sys.unraisablehook`."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


@pytest.fixture(params=["", "1"])
def reported(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The errors that reach the previous hook, with and without JAXRNN_TRACEBACK."""
    found: list[object] = []
    monkeypatch.setenv("JAXRNN_TRACEBACK", request.param)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: found.append(unraisable.exc_type))
    monkeypatch.setattr(logging.getLogger("asyncio"), "filters", [])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    quiet.quiet_threads()
    yield found
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_in_a_callback_is_not_lost(reported: list[object]) -> None:
    with pytest.raises(KeyboardInterrupt):
        Failing(KeyboardInterrupt)
        time.sleep(20)
    assert reported == []


def test_other_errors_of_callbacks_are_shown_only_with_tracebacks(reported: list[object]) -> None:
    Failing(ValueError)
    assert reported == ([] if quiet.is_wanted() else [ValueError])
