"""How several processes end when one of them does.

Whatever ends one of them before its time ends all:

    a mistake, a disk that is full      the process tells the others by way of the coordinator before it leaves
    killed, or its machine is gone      a connection breaks, which is an error in the others, and their reason to end
    hangs, or the network is gone       JAX aborts the others once its heartbeat stays away: exit code 134 and no line

Ends are abrupt (`os._exit`), as what waits for all processes would wait for ever. Nothing is lost by that: what a run
keeps survives a kill.
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

_TOLD_SECONDS = 5.0  # how long process 0, with which the coordinator goes, waits for the others to have heard
_GRACE = 0.5  # seconds in which what one process says gets to the others before what they see of its end

_is_ending = threading.Lock()
_is_leaving = threading.Event()  # at the end of a command, with which the coordinator goes


def are_several() -> bool:
    """Whether this process has joined others; imports nothing."""
    module = sys.modules.get("jaxrnn.parallel.processes")
    return module is not None and bool(module.are_several())


def part(code: int) -> int:
    """Waits for the others at the end of a command, and lets go of them; returns the exit code."""
    _is_leaving.set()
    jaxrnn.parallel.processes.leave()
    _is_ending.acquire(blocking=False)
    for thread in threading.enumerate():
        if thread.name == "others":
            thread.join()  # a thread that waits in C++ must not live to see the end of Python
    return code


def fail(line: str, code: int) -> NoReturn:
    """Ends all processes because this one can't go on: its line here and there, the same exit code."""
    _begin_to_end()
    console.error(f"{_this_process()}: {line}")
    processes = jaxrnn.parallel.processes
    with contextlib.suppress(Exception):  # with the coordinator gone, nobody is left to be told
        processes.publish("failed", json.dumps([processes.index(), line, code]))
        if processes.is_first():
            deadline = time.monotonic() + _TOLD_SECONDS
            waiting = [f"heard/{number}" for number in range(1, processes.count())]
            while not all(map(processes.is_published, waiting)) and time.monotonic() < deadline:
                time.sleep(0.02)
        else:
            time.sleep(_GRACE)
    _leave_at_once(code)


def _this_process() -> str:
    return f"process {jaxrnn.parallel.processes.index()} of {jaxrnn.parallel.processes.count()}"


def end_if_lost(error: Exception) -> None:
    """End this process with a line where an error means that another one is gone."""
    text = str(error)
    if re.search(r"Gloo|NCCL|nccl|UNAVAILABLE|coordination service|preempted", text):
        address = re.search(r"\[((?:\d+\.){3}\d+|[0-9a-f:]+)\]:\d+", text)
        _end_as_lost(f" at {address[1]}" if address else "")


def _end_as_lost(where: str = "") -> NoReturn:
    time.sleep(_GRACE)  # if the other one had something to say before it ended, that is what ends this one
    other = "the other process" if jaxrnn.parallel.processes.count() == 2 else "another process"
    end(
        f"{_this_process()}: lost {other}{where}: it was killed, or its machine or the network is gone; "
        "the last checkpoint stands: start all processes again with --resume",
        1,
    )


def listen_to_others() -> None:
    """Ends this process as soon as another one says that it fails; on a thread of its own."""
    threading.Thread(target=_listen, name="others", daemon=True).start()


def _listen() -> None:
    """Waits for another process to say that it fails, and ends this one too."""
    try:
        number, line, code = json.loads(jaxrnn.parallel.processes.read("failed"))
    except Exception:
        if _is_leaving.is_set() or _is_ending.locked():
            return
        _end_as_lost()  # with the coordinator
    with contextlib.suppress(Exception):
        jaxrnn.parallel.processes.publish(f"heard/{jaxrnn.parallel.processes.index()}", "yes")
    if number != jaxrnn.parallel.processes.index():
        _begin_to_end()
        console.error(f"{_this_process()}: process {number} ended: {line}")
        if jaxrnn.parallel.processes.is_first():
            time.sleep(2 * _GRACE)  # the others may still be reading what is kept here
        _leave_at_once(code)


def _begin_to_end() -> None:
    """Returns to the first caller alone, who says why; what others have to say comes of that."""
    if not _is_ending.acquire(blocking=False):
        time.sleep(2 * _TOLD_SECONDS)
        os._exit(1)


def end(line: str, code: int) -> NoReturn:
    """Says the line and ends the process at once."""
    _begin_to_end()
    console.error(line)
    _leave_at_once(code)


def _leave_at_once(code: int) -> NoReturn:
    console.show_cursor()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def delay_aborts() -> None:
    """Have the C++ of JAX, which aborts where a process is lost, wait with it until Python has reported why.

    The same loss is an error in the thread that trains or in the one that listens, which ends the process with a line
    and exit code 1. The handler of the signal is `sleep`, one of the few functions that POSIX allows there; its
    argument is the number of the signal, so that it takes 6 s. If nothing was reported by then, the process aborts.
    """
    library = ctypes.CDLL(None)
    library.signal(signal.SIGABRT, library.sleep)
