"""How several processes end when one of them does.

Whatever ends one of them before its time ends all, each with one line and the same exit code:

    a mistake, a disk that is full      the process tells the others by way of the coordinator before it leaves
    killed, or its machine is gone      the others find out: at once where a connection breaks, else when its heartbeat
                                        stays away

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

_TOLD_SECONDS = 3.0  # how long process 0, with which the coordinator goes, waits for the others to have heard
_GRACE = 0.5  # seconds in which what one process says gets to the others before what they see of its end

GO_ON = "the last checkpoint stands: start all processes again with --resume"

_is_ending = threading.Lock()
_codes: list[int] = []  # with which this process ends, once it is ending
_is_leaving = threading.Event()  # at the end of a command, when the coordinator may go


def the_others() -> str:
    """What a message calls the processes beside this one, of which one is lost."""
    return "the other process" if jaxrnn.parallel.processes.count() == 2 else "another process"


def this_process() -> str:
    """What a message calls this process."""
    return f"process {jaxrnn.parallel.processes.index()} of {jaxrnn.parallel.processes.count()}"


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
    _begin_to_end(code)
    console.error(f"{this_process()}: {line}")
    telling = threading.Thread(target=_tell_others, args=(line, code), daemon=True)
    telling.start()
    telling.join(_TOLD_SECONDS + 2 * _GRACE)  # a call to a coordinator that is gone may never return
    _leave_at_once(code)


def _tell_others(line: str, code: int) -> None:
    with contextlib.suppress(Exception):  # with the coordinator gone, nobody is left to be told
        jaxrnn.parallel.processes.publish(
            "failed", json.dumps([jaxrnn.parallel.processes.index(), line, code])
        )
        _wait_until_heard()


def _wait_until_heard() -> None:
    deadline = time.monotonic() + (_TOLD_SECONDS if jaxrnn.parallel.processes.is_first() else 0)
    for number in range(1, jaxrnn.parallel.processes.count()):
        while not jaxrnn.parallel.processes.is_published(f"heard/{number}") and time.monotonic() < deadline:
            time.sleep(0.02)
    if not jaxrnn.parallel.processes.is_first():
        time.sleep(_GRACE)


def explain_lost(error: Exception) -> str | None:
    """What to say of an error that means that another process is gone; None where it does not."""
    text = str(error)
    if not re.search(r"Gloo|NCCL|nccl|UNAVAILABLE|coordination service|preempted", text):
        return None
    time.sleep(_GRACE)  # if the other one had something to say before it ended, that is what ends this one
    address = re.search(r"\[((?:\d+\.){3}\d+|[0-9a-f:]+)\]:\d+", text)
    at = f" at {address[1]}" if address else ""
    return f"lost {the_others()}{at}: it was killed, or its machine or the network is gone; {GO_ON}"


def listen_to_others(heartbeat: float) -> None:
    """End this process as soon as another one reports a failure or is lost; on a thread of its own.

    Args:
        heartbeat: seconds after which a process that is not heard of is lost.
    """
    threading.Thread(target=_listen, args=(heartbeat,), name="others", daemon=True).start()


def _listen(heartbeat: float) -> None:
    try:
        number, line, code = json.loads(jaxrnn.parallel.processes.read("failed"))
    except Exception:  # the coordinator is gone, or has lost a process
        if _is_leaving.is_set():
            return
        time.sleep(_GRACE)  # the main thread may know more: from whom it was disconnected
        end(
            f"{this_process()}: lost {the_others()}: nothing was heard of one for {heartbeat:g} s, or process 0 is "
            f"gone; {GO_ON}",
            1,
        )
    with contextlib.suppress(Exception):
        jaxrnn.parallel.processes.publish(f"heard/{jaxrnn.parallel.processes.index()}", "yes")
    if number != jaxrnn.parallel.processes.index():
        _begin_to_end(code)
        console.error(f"{this_process()}: process {number} ended: {line}")
        if jaxrnn.parallel.processes.is_first():
            time.sleep(2 * _GRACE)  # the others may still be reading what is kept here
        _leave_at_once(code)


def _begin_to_end(code: int) -> None:
    """Returns to the first caller alone, who says why; what others have to say comes of that."""
    if not _is_ending.acquire(blocking=False):
        time.sleep(2 * _TOLD_SECONDS)
        os._exit(_codes[0] if _codes else 1)
    _codes.append(code)


def end(line: str, code: int) -> NoReturn:
    """Says the line and ends the process at once."""
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
    """Keep JAX's C++, which aborts when a process is lost, from ending this one before `_listen` or a timer does.

    The thread that aborts waits in the handler, the C library's `pause`: a signal handler may call that, but no Python.
    """
    library = ctypes.CDLL(None)
    library.signal(signal.SIGABRT, library.pause)
