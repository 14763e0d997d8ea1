"""A task that a worker measures: prepared, and ready to run any number of times."""

from collections.abc import Callable
from typing import NamedTuple


class Task(NamedTuple):
    """Prepared, its memory allocated; the first run may still compile."""

    run: Callable[
        [int], float
    ]  # do so many steps (or characters), to their very end; returns a loss or another number
    detail: str = ""  # how it is done, where there was a choice
