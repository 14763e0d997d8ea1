"""Printing to stdout and stderr.

Samples and tables go to stdout, everything else to stderr. Markup is never interpreted. On a terminal, control
characters are escaped.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from jaxrnn_cli.display.colors import paint_by_surprisal, surprisal_scale

if TYPE_CHECKING:
    from rich.console import Console

# C0, DEL and C1 without newline and tab, line separators, direction marks, invisible annotations and tags.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # invalid bytes after decoding with surrogateescape
_LONGEST_LINE = 1000


_only_errors = False  # in every process except process 0


def print_only_errors() -> None:
    """Print only errors from now on, because process 0 prints the rest."""
    global _only_errors
    _only_errors = True


def is_quiet() -> bool:
    """Return whether only errors are printed."""
    return _only_errors


def use_utf8() -> None:
    """Make stdout write UTF-8 in every locale, and the undecodable bytes of a path unchanged."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def escape(text: str) -> str:
    r"""Return `text` with control characters escaped, such as `\x1b` and `\u202e`; newlines and tabs stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return `text` as one line without control characters; a very long line is truncated."""
    line = escape(" ".join(part.strip() for part in text.splitlines() if part.strip()).replace("\t", " "))
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + "..."


def error(message: str) -> None:
    """Print an error to stderr as one line."""
    _print_line(f"jaxrnn: error: {one_line(message)}")


def note(message: str) -> None:
    """Print a note to stderr as one line."""
    if not _only_errors:
        _print_line(f"jaxrnn: {one_line(message)}")


def _print_line(line: str) -> None:
    """Print a line to stderr; if stderr is closed, discard it and let the command continue."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def print_lines(text: str) -> None:
    """Print lines to stderr, with control characters escaped on a terminal."""
    _print_line(escape(text) if sys.stderr.isatty() else text)


def write(text: str) -> None:
    """Write text to stdout and flush it; control characters are escaped on a terminal.

    A lone surrogate represents an invalid UTF-8 byte. The byte is written, or escaped on a terminal.

    Raises:
        BrokenPipeError: The reader of stdout has exited.
    """
    if not _only_errors:
        sys.stdout.write(_for_terminal(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


def _for_terminal(text: str) -> str:
    return _NO_UTF8.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", escape(text))


def can_paint() -> bool:
    """Return whether to color stdout: NO_COLOR disables colors, FORCE_COLOR enables them, else a terminal has them."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_live(sys.stdout)


def explain_surprisal(*, is_painted: bool) -> None:
    """Print the color scale of `write_by_surprisal` to stderr, or why there are no colors."""
    if not is_painted:
        why = "stdout is not a terminal with colors; FORCE_COLOR=1 enables them"
        note(f"no colors: {'NO_COLOR is set' if os.environ.get('NO_COLOR') else why}")
        return
    live = is_live(sys.stderr) and not os.environ.get("NO_COLOR")
    _print_line(f"jaxrnn: colors start at {surprisal_scale(painted=live)} nats")


def write_by_surprisal(text: str, nats: Sequence[float]) -> None:
    """Write text to stdout as `write` does, each character in the color of its surprisal.

    Args:
        text: The text.
        nats: The surprisal of each character; empty for text without colors.

    Raises:
        BrokenPipeError: The reader of stdout has exited.
    """
    if not nats:
        write(text)
        return
    characters = map(_for_terminal, text) if sys.stdout.isatty() else text
    sys.stdout.write(paint_by_surprisal([*characters], nats))
    sys.stdout.flush()


def discard_output() -> None:
    """Redirect stdout and stderr to the null device, so that Python's last flush can't fail on a closed pipe."""
    _discard(sys.stdout)
    _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # a stream without a file descriptor
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_live(stream: TextIO) -> bool:
    """Return whether `stream` is a terminal that can redraw lines."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def rich_stderr() -> "Console":
    """Return rich's console on stderr."""
    # Imported here: rich takes longer to import than `jaxrnn --help` may take.
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def announce_stop() -> None:
    """Print that training stops; safe in a signal handler that interrupts another print."""
    if _only_errors:
        return
    show_cursor()  # in case the next signal ends the process
    # A progress bar, or the terminal's ^C, may be on the current line: erased, so that the bar is drawn anew below.
    start = "\r\x1b[2K" if is_live(sys.stderr) else "\n"
    _write_at_once(f"{start}jaxrnn: stopping and saving; Ctrl-C again stops at once\n")


def show_cursor() -> None:
    """Show the terminal's cursor again before a process ends without cleanup."""
    if not _only_errors and is_live(sys.stderr):
        _write_at_once("\x1b[?25h")


def _write_at_once(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed or has no file descriptor
        os.write(sys.stderr.fileno(), text.encode())
