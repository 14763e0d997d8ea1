"""Suppression of output from libraries and their threads; `JAXRNN_TRACEBACK=1` shows it.

The one-line error already reports the failure. The libraries' output would add tracebacks between and after our lines.
"""

import logging
import os
import signal
import sys
import threading
from typing import Any

_AGAIN = 0.05  # seconds, by then the main thread has left the callback


def is_wanted() -> bool:
    """Return whether library output is suppressed, the default."""
    return not os.environ.get("JAXRNN_TRACEBACK")


def quiet_threads() -> None:
    """Suppress errors of abandoned threads and callbacks, without losing a Ctrl-C.

    When a save fails, orbax abandons its other writes. Their errors arrive after its event loop has closed, from C++
    threads through `sys.unraisablehook` and in asyncio's log. A KeyboardInterrupt raised in a callback, such as JAX's
    for the garbage collector, would also be lost there, so the signal is sent again.
    """
    report = sys.unraisablehook
    if is_wanted():
        logging.getLogger("asyncio").addFilter(lambda _: False)

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        elif not is_wanted():
            report(unraisable)

    sys.unraisablehook = hook


def quiet_cpp() -> None:
    """Move stdout and stderr to new descriptors, and redirect descriptors 1 and 2, used by C++, to the null device.

    JAX's C++ code prints connections to stdout and a stack trace when a process is lost.
    """
    if not is_wanted():
        return
    null = os.open(os.devnull, os.O_WRONLY)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        stream.flush()
        kept = os.dup(descriptor)
        moved = open(  # noqa: PTH123, SIM115  (a descriptor, open until the end)
            kept, "w", encoding=stream.encoding, errors=stream.errors, buffering=1
        )
        setattr(sys, name, moved)
        os.dup2(null, descriptor)
    os.close(null)
