"""Several processes that train one model, with JAX's distributed runtime: ranks and communication.

Without `join`, a single process is rank 0 of 1, and communication returns its own values.

Strings are exchanged through the coordinator, a key-value store in process 0, from any thread. Numbers and arrays are
exchanged between devices, like gradients: all processes must make these calls in the same order, in the training
thread.
"""

import ipaddress
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxrnn.errors import ConfigError, JoinError
from jaxrnn.parallel.jax_internals import coordination_client, process_count, process_index

CONNECT_SECONDS = 120.0  # timeout for all processes to join
HEARTBEAT_SECONDS = 60.0  # a process without a heartbeat for this long counts as lost

_SLICE = 500  # milliseconds of waiting in C++, where Python can't answer a Ctrl-C
_FOUND_BY_JAX = "SLURM, Open MPI, Kubernetes, Cloud TPU"
# The number of exchanges per topic, which matches the n-th call here to the n-th call in other processes.
_asked: Counter[str] = Counter()


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    connect_seconds: float = CONNECT_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> None:
    """Join the other processes; call it once, before any other use of JAX.

    Args:
        coordinator: `HOST:PORT` of process 0, which listens only there (unless the environment variable
            `JAX_COORDINATOR_BIND_ADDRESS` is set). None: JAX detects all three values from the cluster's environment.
        num_processes: The number of processes.
        process_id: The rank of this process, from 0.
        connect_seconds: Timeout for the other processes to join.
        heartbeat_seconds: A process without a heartbeat for this long counts as lost, and JAX ends the others.

    Raises:
        ConfigError: JAX detects no cluster environment that it supports.
        JoinError: The port is taken, the coordinator can't be reached in time, or process 0 was started with another
            number of processes. If some processes never join, JAX aborts.
    """
    begun = time.monotonic()
    bind = None
    if coordinator is not None:
        asked = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS")
        bind = asked or coordinator
        if process_id == 0:
            _check_free(bind, is_asked=asked is not None)
        else:
            _wait_for_listener(coordinator, connect_seconds)
    # Its own handler of SIGTERM would take the signal from ours, and wants to be asked at every single step.
    jax.config.update("jax_enable_preemption_service", False)  # type: ignore[no-untyped-call]
    left = max(1.0, connect_seconds - (time.monotonic() - begun))
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            coordinator_bind_address=bind,
            cluster_detection_method="deactivate" if coordinator else None,
            initialization_timeout=round(left) + 1,
            heartbeat_timeout_seconds=round(heartbeat_seconds),
        )
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        if coordinator is None and coordination_client() is None:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"--distributed: JAX finds no processes to join here ({_FOUND_BY_JAX}): {reason}; "
                "say --coordinator HOST:PORT --num-processes N --process-id I"
            ) from error
        raise JoinError(f"{coordinator}: can't join the other processes: {error}") from error
    # The coordinator counts those that it was told of, whatever the others were told: they would wait for more.
    if (there := tell("count", str(count()))) != str(count()):
        raise JoinError(
            f"process {index()} was told of {count()} processes, but process 0 of {there}; "
            "start all with the same --num-processes"
        )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_free(address: str, *, is_asked: bool) -> None:
    """Check that process 0 can listen: gRPC would share a port that is taken, or print lines of its own.

    All addresses of the machine at once are refused, whatever they are called, unless `is_asked`.
    """
    host, port = _split(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = ipaddress.ip_address(str(place[0]))
        if (getattr(found, "ipv4_mapped", None) or found).is_unspecified and not is_asked:
            raise JoinError(f"{address}: is all addresses of a machine; give the one that the others reach")
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise JoinError(
            f"{address}: process 0 can't listen here: {error.strerror or error}; "
            "give an address of this machine, and a port that is free"
        ) from error


def _wait_for_listener(address: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(_split(address), timeout=max(0.1, min(5.0, seconds))):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise JoinError(
                    f"{address}: nobody listens here after {seconds:g} s ({error.strerror or error}); is process 0 "
                    "started, and is this its address?"
                ) from error
            time.sleep(0.1)


def leave() -> None:
    """Waits until all others leave too, and lets go of them."""
    jax.distributed.shutdown()  # type: ignore[no-untyped-call]


# Who.


def index() -> int:
    """The number of this process, from 0."""
    return process_index()


def count() -> int:
    """How many processes there are."""
    return process_count()


def is_first() -> bool:
    """Whether this is process 0, the one that prints and writes."""
    return index() == 0


def are_several() -> bool:
    """Whether there are others."""
    return count() > 1


# Texts.


def publish(topic: str, text: str) -> bool:
    """Puts a text where all can read it; False where another one stands already."""
    try:
        coordination_client().key_value_set(f"jaxrnn/{topic}", text)
    except jax.errors.JaxRuntimeError:
        return False
    return True


def is_published(topic: str) -> bool:
    """Whether there is such a text."""
    try:
        coordination_client().key_value_try_get(f"jaxrnn/{topic}")
    except jax.errors.JaxRuntimeError:
        return False
    return True


def read(topic: str) -> str:
    """Waits for a text to be published, however long.

    Raises:
        jax.errors.JaxRuntimeError: the coordinator is gone.
    """
    while True:
        try:
            return str(coordination_client().blocking_key_value_get(f"jaxrnn/{topic}", _SLICE))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def tell(topic: str, text: str) -> str:
    """Returns the text of process 0, whatever the others say; all of them ask."""
    if not are_several():
        return text
    topic = _next(topic)
    if is_first():
        publish(topic, text)
        return text
    return read(topic)


def gather(topic: str, text: str) -> list[str]:
    """Returns the texts of all processes, in their order; all of them ask."""
    if not are_several():
        return [text]
    topic = _next(topic)
    publish(f"{topic}/{index()}", text)
    return [read(f"{topic}/{number}") for number in range(count())]


def _next(topic: str) -> str:
    _asked[topic] += 1
    return f"{topic}/{_asked[topic]}"


class Difference(NamedTuple):
    """A fact that is another one in two processes."""

    name: str
    process: int  # the first process whose value differs from that of process 0
    there: str
    first: str  # in process 0


def differences(facts: dict[str, str]) -> list[Difference]:
    """Return the facts that differ between processes; all processes must call this, and get the same result."""
    first, *others = (json.loads(text) for text in gather("facts", json.dumps(facts)))
    found: dict[str, Difference] = {}
    for process, there in enumerate(others, start=1):
        for name in {**first, **there}:
            pair = there.get(name, "nothing"), first.get(name, "nothing")
            if pair[0] != pair[1] and name not in found:
                found[name] = Difference(name, process, *pair)
    return [*found.values()]


# Numbers.


def gather_numbers(numbers: Sequence[int]) -> np.ndarray:
    """Returns the integers of all processes, `[processes, numbers]`; all of them ask."""
    mine = np.array(numbers, np.int32)
    if not are_several():
        return mine[None]
    return np.asarray(multihost_utils.process_allgather(mine))


def share(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of process 0, bit for bit; all of them give some of these names, shapes and types."""
    if not are_several():
        return arrays
    sizes = [array.nbytes for array in arrays.values()]
    flat = np.zeros(-(-sum(sizes) // 4) * 4, np.uint8)
    if is_first():
        flat[: sum(sizes)] = np.frombuffer(b"".join(array.tobytes() for array in arrays.values()), np.uint8)
    # As integers, because the broadcast is a sum over processes, and -0.0 + 0.0 would change the sign bit.
    words = np.asarray(multihost_utils.broadcast_one_to_all(flat.view(np.uint32)))
    parts = np.split(words.view(np.uint8)[: sum(sizes)], np.cumsum(sizes)[:-1])
    return {
        name: part.view(array.dtype).reshape(array.shape)
        for (name, array), part in zip(arrays.items(), parts, strict=True)
    }
