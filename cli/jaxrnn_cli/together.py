"""A command that runs in several processes at once: its options, who prints, and how all end when one does.

Process 0 prints and writes; the others say nothing but how they fail. Whatever ends one of them before its time ends
all, each with one line and the same exit code:

    a mistake, a disk that is full      the process tells the others by way of the coordinator before it leaves
    killed, or its machine is gone      the others find out: at once where a connection breaks, else when its heartbeat
                                        stays away. JAX aborts them then, and what is said is said in the abort

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
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeAlias

import typer

from jaxrnn_cli import console
from jaxrnn_cli.numbers import integer

if TYPE_CHECKING:
    from jaxrnn.config import Config
    from jaxrnn_cli.data import Data

_MOST = 65_536
_TOLD_SECONDS = 5.0  # how long process 0, with which the coordinator goes, waits for the others to have heard
_GRACE = 0.5  # seconds in which what one process says gets to the others before what they see of its end


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise typer.BadParameter(f"{text!r} is no HOST:PORT, such as 10.0.0.1:9876")
    if not 1 <= int(port) <= 65_535:
        raise typer.BadParameter(f"{port} is no port; there are 1 to 65535")
    if host in ("0.0.0.0", "[::]"):
        raise typer.BadParameter(f"{host} is all addresses of a machine; give the one that the others reach")
    return text


Distributed: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Join the processes that SLURM, Open MPI, Kubernetes or Cloud TPU has started with this one.",
    ),
]
Coordinator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        parser=_address,
        envvar="JAXRNN_COORDINATOR",
        help="Join processes that were started by hand: where process 0 is to be found.",
    ),
]
NumProcesses: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=integer(1, _MOST),
        envvar="JAXRNN_NUM_PROCESSES",
        help="How many processes these are.",
    ),
]
ProcessId: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="I",
        parser=integer(0, _MOST - 1),
        envvar="JAXRNN_PROCESS_ID",
        help="Which of them this is, from 0.",
    ),
]


def join_others(
    distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Joins the other processes where the options say so; before JAX is used for anything.

    Raises:
        typer.BadParameter: The options contradict each other.
        ConfigError: JAX finds no other processes by itself.
        JoinError: They can't be joined.
    """
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    missing = [f"'{name}'" for name, value in given.items() if value is None]
    if distributed and len(missing) < 3:
        there = next(name for name, value in given.items() if value is not None)
        raise typer.BadParameter(
            f"finds the other processes by itself; leave out {there}, or say all three without it",
            param_hint="'--distributed'",
        )
    if 0 < len(missing) < 3:
        raise typer.BadParameter(
            "processes started by hand want all of --coordinator, --num-processes and --process-id",
            param_hint=missing[0],
        )
    if num_processes is not None and process_id is not None and process_id >= num_processes:
        problem = f"of {num_processes} processes the last one is {num_processes - 1}, not {process_id}"
        raise typer.BadParameter(problem, param_hint="'--process-id'")
    if distributed or (num_processes or 1) > 1:
        _join(coordinator, num_processes, process_id)


def _join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    from jaxrnn import processes

    connect = _seconds("JAXRNN_CONNECT_SECONDS", processes.CONNECT_SECONDS)
    heartbeat = _seconds("JAXRNN_HEARTBEAT_SECONDS", processes.HEARTBEAT_SECONDS)
    here = f"process {process_id} of {num_processes}: {coordinator}" if coordinator else "--distributed"
    never_came = (
        f"{here}: not all processes were there after {connect:g} s; start all of them, each with its own "
        "--process-id and all with the same --num-processes (JAXRNN_CONNECT_SECONDS sets how long to wait)"
    )
    if not os.environ.get("JAXRNN_TRACEBACK"):
        _keep_output_to_ourselves()
    _end_in_words_if_aborted(never_came)
    timer = threading.Timer(connect, lambda: _end(never_came, 1))
    timer.daemon = True
    with _interruptible():
        timer.start()
        processes.join(
            coordinator, num_processes, process_id, connect_seconds=connect, heartbeat_seconds=heartbeat
        )
        timer.cancel()
    if not processes.are_several():
        return
    if not processes.is_first():
        console.say_only_errors()
    _end_in_words_if_aborted(
        f"{_name()}: lost {_the_others()}: nothing was heard of one for {heartbeat:g} s, or process 0 is gone; {_GO_ON}"
    )
    threading.Thread(target=_listen, name="others", daemon=True).start()


_GO_ON = "the last checkpoint stands: start all processes again with --resume"


def _the_others() -> str:
    from jaxrnn import processes

    return "the other process" if processes.count() == 2 else "another process"


def _name() -> str:
    from jaxrnn import processes

    return f"process {processes.index()} of {processes.count()}"


def _seconds(variable: str, default: float) -> float:
    from jaxrnn.errors import ConfigError

    text = os.environ.get(variable) or f"{default:g}"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ConfigError(f"{variable}={text}: must be a number of seconds, 1 to 86400")
    return seconds


def check_alike(config: "Config", run: object, data: "Data", *, goes_on: bool) -> None:
    """Returns once all processes are about to do the same; it is the last moment before something is written.

    Raises:
        ConfigError: They are not.
    """
    import importlib.metadata

    from jaxrnn import processes
    from jaxrnn.errors import ConfigError

    if not processes.are_several():
        return
    facts = {name: importlib.metadata.version(name) for name in ("jaxrnn", "jax", "jaxlib", "optax")}
    facts |= {"the run": f"{run}, which {'goes on' if goes_on else 'is new'},"}
    facts |= {"the SHA-256 of the text": data.record.corpus_sha256, "the vocabulary": repr(data.vocabulary)}
    facts |= _flatten(config)
    if found := processes.differences(facts):
        name, number, there, first = found[0]
        more = f" ({len(found) - 1} more differ)" if len(found) > 1 else ""
        raise ConfigError(
            f"{name} is {there[:200]} in process {number}, but {first[:200]} in process 0{more}; "
            "all processes want the same command, config, text and versions"
        )


def _flatten(config: object) -> dict[str, str]:
    """Every value of a config by its name, as `train.steps`."""
    from dataclasses import fields, is_dataclass

    found: dict[str, str] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}.{name}": text for name, text in _flatten(value).items()}
        else:
            found[field.name] = repr(value)
    return found


# The end.


_is_ending = threading.Lock()
_codes: list[int] = []  # with which this process ends, once it is ending
_kept: list[object] = []  # what C holds on to


def are_several() -> bool:
    """Whether this process has joined others; imports nothing."""
    module = sys.modules.get("jaxrnn.processes")
    return module is not None and bool(module.are_several())


def part(code: int) -> int:
    """Waits for the others at the end of a command, and lets go of them; returns the exit code."""
    from jaxrnn import processes

    processes.leave()
    _is_ending.acquire(blocking=False)
    for thread in threading.enumerate():
        if thread.name == "others":
            thread.join()  # a thread that waits in C++ must not live to see the end of Python
    return code


def fail(line: str, code: int) -> NoReturn:
    """Ends all processes because this one can't go on: its line here and there, the same exit code."""
    from jaxrnn import processes

    _begin_to_end(code)
    console.error(f"{_name()}: {line}")
    with contextlib.suppress(Exception):  # with the coordinator gone, nobody is left to be told
        processes.publish("failed", json.dumps([processes.index(), line, code]))
        _wait_until_heard()
    _leave_at_once(code)


def _wait_until_heard() -> None:
    from jaxrnn import processes

    deadline = time.monotonic() + (_TOLD_SECONDS if processes.is_first() else 0)
    for number in range(1, processes.count()):
        while not processes.is_published(f"heard/{number}") and time.monotonic() < deadline:
            time.sleep(0.02)
    if not processes.is_first():
        time.sleep(_GRACE)


def explain_lost(error: Exception) -> str | None:
    """What to say of an error that means that another process is gone; None where it does not."""
    text = str(error)
    if not re.search(r"Gloo|NCCL|nccl|UNAVAILABLE|coordination service|preempted", text):
        return None
    time.sleep(_GRACE)  # if the other one had something to say before it ended, that is what ends this one
    address = re.search(r"\[((?:\d+\.){3}\d+|[0-9a-f:]+)\]:\d+", text)
    at = f" at {address[1]}" if address else ""
    return f"lost {_the_others()}{at}: it was killed, or its machine or the network is gone; {_GO_ON}"


def _listen() -> None:
    """Waits for another process to say that it fails, and ends this one too."""
    from jaxrnn import processes

    try:
        number, line, code = json.loads(processes.read("failed"))
    except (
        Exception
    ):  # the coordinator is gone: at the end of a command, or for other reasons, which JAX sees too
        return
    with contextlib.suppress(Exception):
        processes.publish(f"heard/{processes.index()}", "yes")
    if number != processes.index():
        _begin_to_end(code)
        console.error(f"{_name()}: process {number} ended: {line}")
        if processes.is_first():
            time.sleep(2 * _GRACE)  # the others may still be reading what is kept here
        _leave_at_once(code)


def _begin_to_end(code: int) -> None:
    """Returns to the first caller alone, who says why; what others have to say comes of that."""
    if not _is_ending.acquire(blocking=False):
        time.sleep(2 * _TOLD_SECONDS)
        os._exit(_codes[0] if _codes else 1)
    _codes.append(code)


def _end(line: str, code: int) -> None:
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


def _end_in_words_if_aborted(line: str) -> None:
    """Has the C++ of JAX, which aborts when a process is lost, end this one with a line and exit code 1 instead.

    The signal comes in the thread that aborts, from a place of its own choosing, so that Python may still run there.
    """
    handler_type = ctypes.CFUNCTYPE(None, ctypes.c_int)
    handler = handler_type(lambda _signal: _end(line, 1))
    _kept.append(handler)
    library = ctypes.CDLL(None)
    library.signal.argtypes, library.signal.restype = [ctypes.c_int, handler_type], ctypes.c_void_p
    library.signal(signal.SIGABRT, handler)


def _keep_output_to_ourselves() -> None:
    """Moves our stdout and stderr to descriptors of their own, and leaves C++'s words for 1 and 2 nowhere to go.

    It says who is connected in stdout, and of a process that is lost it prints a stack of its own.
    """
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


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once while it waits in C++, where Python would not hear of it."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
