"""Loggers are found by name, receive the rows of the metrics, and never end a training run."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from jaxrnn import loggers
from jaxrnn.config import Config
from jaxrnn.errors import ConfigError

received: list[Any] = []


@contextlib.contextmanager
def good(run: Path, config: Config, step: int) -> Iterator[loggers.Write]:
    received.append((run.name, config.train.steps, step))
    yield received.append
    received.append("end")


def fails_at_the_start(*_: object) -> Any:
    raise OSError("no network")


@contextlib.contextmanager
def fails_at_a_row(*_: object) -> Iterator[loggers.Write]:
    def write(_row: loggers.Row) -> None:
        raise OSError("network\nlost")

    yield write


@contextlib.contextmanager
def fails_at_the_end(*_: object) -> Iterator[loggers.Write]:
    yield lambda _: None
    raise OSError("server gone")


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {each.__name__: each for each in (good, fails_at_the_start, fails_at_a_row, fails_at_the_end)}
    known = [EntryPoint(name, f"tests:{name}", "jaxrnn.loggers") for name in (*objects, "absent")]

    def load(entry: EntryPoint) -> Any:
        return objects[entry.name] if entry.name in objects else __import__("no_such_package")

    monkeypatch.setattr(EntryPoint, "load", load)
    monkeypatch.setattr(loggers, "entry_points", lambda **_: known)
    received.clear()


ROWS = [{"step": 1, "train_loss": 4.0}, {"step": 50, "train_loss": 2.0}]


def log(*names: str) -> list[str]:
    failures: list[str] = []
    with loggers.open_loggers(names, Path("runs/mine"), Config(), 7, failures.append) as write:
        for row in ROWS:
            write(row)
    return failures


def test_a_logger_receives_run_config_step_and_every_row() -> None:
    assert log("good") == []
    assert received == [("mine", 1600, 7), *ROWS, "end"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails_at_the_start", "no network"),
        ("fails_at_a_row", "network lost"),
        ("fails_at_the_end", "server gone"),
    ],
)
def test_a_failure_is_reported_once_and_the_other_loggers_continue(name: str, reason: str) -> None:
    assert log(name, "good") == [f"--log-to {name} failed, training continues without it: {reason}"]
    assert received[1:] == [*ROWS, "end"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("goood", "no such logger; did you mean good?"),
        ("x", "no such logger; there are absent, fails_at_a_row"),
        ("absent", "No module named 'no_such_package'; pip install 'jaxrnn[absent]'"),
    ],
)
def test_an_unusable_logger_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loggers.find_logger(name)
    assert str(refused.value).startswith(f"--log-to {name}: {message}")


def test_only_finite_numbers_are_logged() -> None:
    row = {"step": 1, "train_loss": float("nan"), "val_loss": None, "grad_norm": 2.0, "event": "training"}
    assert loggers.numbers(row) == {"grad_norm": 2.0}
