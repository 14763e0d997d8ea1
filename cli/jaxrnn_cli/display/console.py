"""Everything that the command line prints.

Samples and tables go to stdout, everything else to stderr. Nothing here reads markup: the text of a corpus
and the names of files are shown as they are, but for control characters, which a terminal would obey.
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

# C0, DEL and C1; a newline and a tab only move the cursor where text may move it. Then characters that break lines,
# turn the direction of text, or are not seen (annotations, tags).
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # what Python has for a byte that is none
_LONGEST_LINE = 1000


_only_errors = False  # in all but the first of several processes


def say_only_errors() -> None:
    """Prints nothing but errors from here on: what there is to say, another process says."""
    global _only_errors
    _only_errors = True


def is_quiet() -> bool:
    """Whether nothing but errors is printed."""
    return _only_errors


def use_utf8() -> None:
    """Makes stdout write UTF-8 whatever the locale, and a path with undecodable bytes as those bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def escape(text: str) -> str:
    r"""Returns `text` with control characters spelled out, as in `\x1b` and `\u202e`; newlines and tabs stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


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
    """Print a line to stderr; where nobody reads it any more, a command goes on in silence."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def print_lines(text: str) -> None:
    """Print lines to stderr, on a terminal without what it would obey."""
    _print_line(escape(text) if sys.stderr.isatty() else text)


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
    """Whether stdout takes colors: a terminal does unless NO_COLOR is set, anything else if FORCE_COLOR is."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_live(sys.stdout)


def explain_surprisal(*, is_painted: bool) -> None:
    """Says on stderr what the colors of `write_by_surprisal` mean, or that there are none."""
    if not is_painted:
        why = "stdout is no terminal that takes them; FORCE_COLOR=1 asks for them all the same"
        note(f"no colors: {'NO_COLOR is set' if os.environ.get('NO_COLOR') else why}")
        return
    live = is_live(sys.stderr) and not os.environ.get("NO_COLOR")
    _print_line(f"jaxrnn: nats from {surprisal_scale(painted=live)} on")


def write_by_surprisal(text: str, nats: Sequence[float]) -> None:
    """Writes text to stdout as `write` does, each character in the color of its surprisal.

    Args:
        text: what to write.
        nats: the surprisal of each character; none at all for text without colors.

    Raises:
        BrokenPipeError: Nobody reads stdout any more.
    """
    if not nats:
        write(text)
        return
    characters = map(_for_terminal, text) if sys.stdout.isatty() else text
    sys.stdout.write(paint_by_surprisal([*characters], nats))
    sys.stdout.flush()


def discard_output() -> None:
    """Points stdout and stderr nowhere, so that Python's last flush can't fail on a pipe that is closed."""
    _discard(sys.stdout)
    _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # a stream without a file behind it
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_live(stream: TextIO) -> bool:
    """Whether `stream` is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def rich_stderr() -> "Console":
    """Return rich's console on stderr."""
    # Imported here: rich takes longer to import than `jaxrnn --help` may take.
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def announce_stop() -> None:
    """Says that training stops; made for a signal handler, which may interrupt a line that is being printed."""
    if _only_errors:
        return
    show_cursor()  # in case the next signal ends us
    _write_at_once("\njaxrnn: stopping and saving; Ctrl-C now leaves at once\n")


def show_cursor() -> None:
    """Gives a terminal its cursor back, before a process ends whose display can't."""
    if not _only_errors and is_live(sys.stderr):
        _write_at_once("\x1b[?25h")


def _write_at_once(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads stderr, or it has no file behind it
        os.write(sys.stderr.fileno(), text.encode())
