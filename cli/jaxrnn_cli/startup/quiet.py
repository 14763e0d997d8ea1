"""What libraries say past us is kept off the terminal; `JAXRNN_TRACEBACK=1` shows all of it.

What failed is in the error that we report, in one line. Theirs come between our lines or after them, with tracebacks.
"""

import logging
import os
import signal
import sys
import threading
from typing import Any

_AGAIN = 0.05  # seconds after which the main thread has left a callback


def is_wanted() -> bool:
    """Whether the user asks for quiet, as is the rule."""
    return not os.environ.get("JAXRNN_TRACEBACK")


def quiet_threads() -> None:
    """Keeps off stderr what goes wrong in threads and callbacks that nobody waits for any more, but loses no Ctrl-C.

    When a save fails, orbax leaves its other writes behind. Their errors arrive after its event loop has closed: in
    threads of C++, which hand them to Python's hook, and in asyncio's log. A KeyboardInterrupt that is raised in a
    callback, such as JAX's for the garbage collector, ends there as well: the signal is sent again.
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
    """Moves our stdout and stderr to descriptors of their own, and leaves C++'s words for 1 and 2 nowhere to go.

    It says who is connected in stdout, and of a process that is lost it prints a stack of its own.
    """
    if not is_wanted():
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        stream.flush()
        kept = os.dup(descriptor)
        moved = open(  # noqa: PTH123, SIM115  (a descriptor, open until the end)
            kept, "w", encoding=stream.encoding, errors=stream.errors, buffering=1
        )
        setattr(sys, name, moved)
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
