"""Training in several processes: options, joining, and the check that all run the same command.

Process 0 prints and writes; the other processes print only errors (`ending`).
"""

import contextlib
import importlib.metadata
import ipaddress
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import jaxrnn
from jaxrnn.config.flat import flatten
from jaxrnn.errors import ConfigError
from jaxrnn_cli.display import console
from jaxrnn_cli.options.numbers import integer
from jaxrnn_cli.startup import ending, quiet

if TYPE_CHECKING:
    from jaxrnn.workflows import Data, Job

_MOST = 65_536


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, such as 10.0.0.1:9876")
    if not 1 <= int(port) <= 65_535:
        raise typer.BadParameter(f"{port} is not a port from 1 to 65535")
    if _is_all_addresses(host.strip("[]")):
        raise typer.BadParameter(
            f"{host} means all addresses of a machine; give one that the other processes can reach"
        )
    return text


def _is_all_addresses(host: str) -> bool:
    """Return whether an address is the wildcard address in any spelling; names are not resolved."""
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    address = ipaddress.ip_address(found[0][4][0])
    return (getattr(address, "ipv4_mapped", None) or address).is_unspecified


Distributed: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Join the processes that SLURM, Open MPI, Kubernetes or Cloud TPU started; untested on these.",
    ),
]
Coordinator: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        parser=_address,
        envvar="JAXRNN_COORDINATOR",
        help="Join processes that were started by hand: the address of process 0.",
    ),
]
NumProcesses: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=integer(1, _MOST),
        envvar="JAXRNN_NUM_PROCESSES",
        help="--coordinator: the number of processes.",
    ),
]
ProcessId: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="I",
        parser=integer(0, _MOST - 1),
        envvar="JAXRNN_PROCESS_ID",
        help="--coordinator: the rank of this process, from 0.",
    ),
]


def join_others(
    distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Join the other processes if the options ask for it; must run before JAX is used.

    Raises:
        typer.BadParameter: The options contradict each other.
        ConfigError: With `--distributed`, JAX does not detect the other processes.
        JoinError: They can't be joined.
    """
    given = {"--coordinator": coordinator, "--num-processes": num_processes, "--process-id": process_id}
    missing = [f"'{name}'" for name, value in given.items() if value is None]
    if distributed and len(missing) < 3:
        there = next(name for name, value in given.items() if value is not None)
        raise typer.BadParameter(
            f"detects the other processes; leave out {there}, or give all three without --distributed",
            param_hint="'--distributed'",
        )
    if 0 < len(missing) < 3:
        raise typer.BadParameter(
            "processes started by hand need all of --coordinator, --num-processes and --process-id",
            param_hint=missing[0],
        )
    if num_processes is not None and process_id is not None and process_id >= num_processes:
        problem = f"{process_id} is not from 0 to {num_processes - 1}, for {num_processes} processes"
        raise typer.BadParameter(problem, param_hint="'--process-id'")
    if distributed or (num_processes or 1) > 1:
        _join(coordinator, num_processes, process_id)


def _join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    connect = _seconds("JAXRNN_CONNECT_SECONDS", jaxrnn.parallel.processes.CONNECT_SECONDS)
    heartbeat = _seconds("JAXRNN_HEARTBEAT_SECONDS", jaxrnn.parallel.processes.HEARTBEAT_SECONDS)
    here = f"process {process_id} of {num_processes}: {coordinator}" if coordinator else "--distributed"
    never_came = (
        f"{here}: not all processes connected within {connect:g} s; start all of them, each with its own "
        "--process-id and all with the same --num-processes (JAXRNN_CONNECT_SECONDS sets the time limit)"
    )
    quiet.quiet_cpp()
    ending.hold_aborts()
    timer = threading.Timer(connect, lambda: ending.end(never_came, 1))
    timer.daemon = True
    with _interruptible():
        timer.start()
        jaxrnn.parallel.processes.join(
            coordinator, num_processes, process_id, connect_seconds=connect, heartbeat_seconds=heartbeat
        )
        timer.cancel()
    if not jaxrnn.parallel.processes.are_several():
        return
    if not jaxrnn.parallel.processes.is_first():
        console.print_only_errors()
    ending.listen_to_others(heartbeat)


def _seconds(variable: str, default: float) -> float:
    text = os.environ.get(variable) or f"{default:g}"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise ConfigError(f"{variable}={text}: must be a number of seconds, 1 to 86400")
    return seconds


def check_alike(job: "Job", data: "Data") -> None:
    """Check, before anything is written, that all processes have the same versions, config and corpus.

    Raises:
        ConfigError: They differ.
    """
    if not jaxrnn.parallel.processes.are_several():
        return
    facts = {name: importlib.metadata.version(name) for name in ("jaxrnn", "jax", "jaxlib", "optax")}
    facts |= {"the run": f"{job.path}, which {'is resumed' if job.begun else 'is new'},"}
    facts |= {"the SHA-256 of the corpus": data.record.corpus_sha256, "the vocabulary": repr(data.vocabulary)}
    facts |= flatten(data.config)
    if found := jaxrnn.parallel.processes.differences(facts):
        name, number, there, first = found[0]
        more = f" ({len(found) - 1} more differ)" if len(found) > 1 else ""
        raise ConfigError(
            f"{name} is {there[:200]} in process {number}, but {first[:200]} in process 0{more}; "
            "all processes need the same command, config, corpus and versions"
        )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process while it waits in C++, where Python's signal handlers do not run."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
