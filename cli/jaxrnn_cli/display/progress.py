"""Progress of downloads, tokenization and other long tasks: a bar on a terminal, else one line per task."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from jaxrnn_cli.display.console import escape, is_live, is_quiet, note, rich_stderr

_WORTH_A_LINE = 1.0  # seconds after which a task of known size is printed


@contextlib.contextmanager
def progress_display(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield an `on_progress` callback with arguments (task, amount done, total amount or 0)."""
    if quiet or is_quiet():
        yield lambda *_: None
    elif is_live(sys.stderr):
        # Imported here because importing rich would slow down `jaxrnn --help`.
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=rich_stderr(), transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def redraw(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(escape(what), total=None)
                bar.update(tasks[what], completed=done, total=total or None)

            yield redraw
    else:
        begun: dict[str, float] = {}
        printed: set[str] = set()

        def print_once(what: str, _done: int, total: int) -> None:
            waited = time.monotonic() - begun.setdefault(what, time.monotonic())
            if what not in printed and (not total or waited > _WORTH_A_LINE):
                printed.add(what)
                note(what)

        yield print_once
