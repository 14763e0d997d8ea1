"""Exit of several processes when one of them fails.

If one process fails, all end with one line each and the same exit code:

    an error, such as a full disk       the process publishes its error through the coordinator before it exits
    killed, or its machine failed       the others detect a broken connection, or later a missing heartbeat

Processes exit with `os._exit`, because cleanup that waits for all processes would never return. Nothing is lost:
checkpoints survive a kill.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import sys
import threading
import time
from typing import NoReturn

import jaxrnn
from jaxrnn_cli.display import console

_ACKNOWLEDGED_SECONDS = 3.0  # how long process 0, which runs the coordinator, waits for acknowledgements
_GRACE = 0.5  # seconds for a published error to arrive before the broken connection is reported

RESTART = "start all processes again with --resume, which continues from the last checkpoint"

_is_ending = threading.Lock()
_codes: list[int] = []  # the exit code of this process, once it is ending
_is_leaving = threading.Event()  # set at the end of a command, when the coordinator may disappear


def the_others() -> str:
    """Return how a message refers to the lost process."""
    return "the other process" if jaxrnn.parallel.processes.count() == 2 else "another process"


def this_process() -> str:
    """Return how a message refers to this process."""
    return f"process {jaxrnn.parallel.processes.index()} of {jaxrnn.parallel.processes.count()}"


def are_several() -> bool:
    """Return whether this process has joined others, without importing jax."""
    module = sys.modules.get("jaxrnn.parallel.processes")
    return module is not None and bool(module.are_several())


def part(code: int) -> int:
    """Wait for the other processes at the end of a command, disconnect, and return the exit code."""
    _is_leaving.set()
    jaxrnn.parallel.processes.leave()
    _is_ending.acquire(blocking=False)
    for thread in threading.enumerate():
        if thread.name == "others":
            thread.join()  # a thread that waits in C++ must end before the interpreter does
    return code


def fail(line: str, code: int) -> NoReturn:
    """End all processes after a failure in this one, with the same line and exit code."""
    _begin_to_end(code)
    console.error(f"{this_process()}: {line}")
    publishing = threading.Thread(target=_publish, args=(line, code), daemon=True)
    publishing.start()
    publishing.join(_ACKNOWLEDGED_SECONDS + 2 * _GRACE)  # a call may never return if the coordinator is gone
    _leave_at_once(code)


def _publish(line: str, code: int) -> None:
    with contextlib.suppress(Exception):  # the coordinator is gone
        jaxrnn.parallel.processes.publish(
            "failed", json.dumps([jaxrnn.parallel.processes.index(), line, code])
        )
        _wait_for_acknowledgements()


def _wait_for_acknowledgements() -> None:
    deadline = time.monotonic() + (_ACKNOWLEDGED_SECONDS if jaxrnn.parallel.processes.is_first() else 0)
    for number in range(1, jaxrnn.parallel.processes.count()):
        while (
            not jaxrnn.parallel.processes.is_published(f"acknowledged/{number}")
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
    if not jaxrnn.parallel.processes.is_first():
        time.sleep(_GRACE)


def explain_lost(error: Exception) -> str | None:
    """Return the message for an error that means that another process is lost; None for other errors."""
    text = str(error)
    if not re.search(r"Gloo|NCCL|nccl|UNAVAILABLE|coordination service|preempted", text):
        return None
    time.sleep(_GRACE)  # if the other process published an error, `_listen` ends this one with it
    address = re.search(r"\[((?:\d+\.){3}\d+|[0-9a-f:]+)\]:\d+", text)
    at = f" at {address[1]}" if address else ""
    return f"lost {the_others()}{at}: it was killed, or its machine or the network failed; {RESTART}"


def listen_to_others(heartbeat: float) -> None:
    """Start a thread that ends this process when another one reports a failure or is lost.

    Args:
        heartbeat: Seconds without a heartbeat after which a process is lost, for the message.
    """
    threading.Thread(target=_listen, args=(heartbeat,), name="others", daemon=True).start()


def _listen(heartbeat: float) -> None:
    try:
        number, line, code = json.loads(jaxrnn.parallel.processes.read("failed"))
    except Exception:  # the coordinator is gone, or has lost a process
        if _is_leaving.is_set():
            return
        time.sleep(_GRACE)  # the main thread may have a better message, with the address of the lost process
        end(
            f"{this_process()}: lost {the_others()}: no heartbeat for {heartbeat:g} s, or process 0 has exited; "
            f"{RESTART}",
            1,
        )
    with contextlib.suppress(Exception):
        jaxrnn.parallel.processes.publish(f"acknowledged/{jaxrnn.parallel.processes.index()}", "yes")
    if number != jaxrnn.parallel.processes.index():
        _begin_to_end(code)
        console.error(f"{this_process()}: process {number} ended: {line}")
        if jaxrnn.parallel.processes.is_first():
            time.sleep(2 * _GRACE)  # the others may still be reading from this process's coordinator
        _leave_at_once(code)


def _begin_to_end(code: int) -> None:
    """Return to the first caller, which prints the cause; later callers wait and exit without a message."""
    if not _is_ending.acquire(blocking=False):
        time.sleep(2 * _ACKNOWLEDGED_SECONDS)
        os._exit(_codes[0] if _codes else 1)
    _codes.append(code)


def end(line: str, code: int) -> NoReturn:
    """Print the line and end the process at once."""
    _begin_to_end(code)
    console.error(line)
    _leave_at_once(code)


def _leave_at_once(code: int) -> NoReturn:
    console.show_cursor()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def hold_aborts() -> None:
    """Keep JAX's C++ code, which aborts when a process is lost, from ending this one before `_listen` or a timer does.

    The aborting thread waits in the C library's `pause`, which a signal handler may call; Python code it may not.
    """
    library = ctypes.CDLL(None)
    library.signal(signal.SIGABRT, library.pause)
