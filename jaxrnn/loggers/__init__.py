"""Loggers: the rows of metrics.csv sent to TensorBoard, Weights & Biases, MLflow, or what another package adds.

A logger is an entry point of the group `jaxrnn.loggers`: a context manager that is called with the run directory, its
config and the step that training starts from, and yields a function that receives each row:

    @contextmanager
    def log_to_file(run: Path, config: Config, step: int) -> Iterator[Write]:
        with (run / "log.jsonl").open("a") as file:
            yield lambda row: print(json.dumps(row), file=file)

`--log-to NAME` selects it. An error of a logger is reported once, and training continues without it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeAlias

from jaxrnn.config import Config
from jaxrnn.errors import ConfigError, did_you_mean

Row: TypeAlias = Mapping[str, object]  # values by column of metrics.csv
Write: TypeAlias = Callable[[Row], None]
Logger: TypeAlias = Callable[[Path, Config, int], AbstractContextManager[Write]]


def find_logger(name: str) -> Logger:
    """Return the logger of this name.

    Raises:
        ConfigError: No logger has this name, or its package is not installed.
    """
    known = {entry.name: entry for entry in entry_points(group="jaxrnn.loggers")}
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(f"--log-to {name}: no such logger{hint}")
    try:
        logger: Logger = known[name].load()
    except ImportError as error:
        remedy = f"pip install 'jaxrnn[{name}]', or in a clone -e '.[{name}]'"
        raise ConfigError(f"--log-to {name}: {error}; {remedy}") from None
    return logger


@contextmanager
def open_loggers(
    names: Iterable[str], run: Path, config: Config, step: int, on_failure: Callable[[str], None]
) -> Iterator[Write]:
    """Yield the function that sends a row to every logger of these names.

    Args:
        names: of the loggers.
        run: the run directory.
        config: the run's.
        step: the step that training starts from.
        on_failure: receives a line for each logger that fails, which is then left out.
    """
    writers: dict[str, Write] = {}

    def attempt(name: str, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            writers.pop(name, None)
            message = " ".join(str(error).split()) or type(error).__name__
            on_failure(f"--log-to {name} failed, training continues without it: {message}")

    with ExitStack() as stack:
        for name in names:

            def start(name: str = name) -> None:
                logger = find_logger(name)(run, config, step)
                writers[name] = logger.__enter__()

                def end() -> None:
                    logger.__exit__(None, None, None)

                stack.callback(attempt, name, end)

            attempt(name, start)

        def write(row: Row) -> None:
            for name, writer in list(writers.items()):
                attempt(name, lambda writer=writer: writer(row))  # type: ignore[misc]

        yield write


def numbers(row: Row) -> dict[str, float]:
    """Return the finite numbers of a row by column, without its step."""
    return {
        name: value
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and math.isfinite(value)
    }
