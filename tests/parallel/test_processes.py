"""A single process, and failures to join others. tests/cli/startup/test_processes.py runs several processes."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from jaxrnn.errors import ConfigError, JoinError
from jaxrnn.parallel import processes


@pytest.fixture
def taken() -> Iterator[int]:
    """A port in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_single_process_has_rank_0() -> None:
    assert (processes.index(), processes.count()) == (0, 1)
    assert processes.is_first()
    assert not processes.are_several()


def test_a_single_process_communicates_with_itself() -> None:
    assert processes.tell("topic", "words") == "words"
    assert processes.gather("topic", "words") == ["words"]
    assert processes.differences({"a": "b"}) == []
    np.testing.assert_array_equal(processes.gather_numbers((3, 4)), [[3, 4]])
    arrays = {"x": np.arange(3)}
    assert processes.share(arrays) is arrays


def test_a_port_in_use_is_one_line(taken: int) -> None:
    with pytest.raises(
        JoinError, match=rf"^127\.0\.0\.1:{taken}: process 0 can't listen here: Address already in use"
    ):
        processes.join(f"127.0.0.1:{taken}", 2, 0)


def test_the_address_of_another_machine_is_refused() -> None:
    with pytest.raises(JoinError, match="can't listen here"):
        processes.join("192.0.2.1:9", 2, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "a-name"])
def test_wildcard_addresses_are_refused(host: str, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda name, *args, **more: resolve(name.replace("a-name", "0.0.0.0"), *args, **more),
    )
    with pytest.raises(JoinError, match="all addresses of a machine"):
        processes.join(f"{host}:{taken}", 2, 0)
    monkeypatch.setenv("JAX_COORDINATOR_BIND_ADDRESS", f"0.0.0.0:{taken}")
    with pytest.raises(JoinError, match="Address already in use"):
        processes.join(f"{host}:{taken}", 2, 0)


def test_a_missing_coordinator_is_one_line_within_the_time_limit(taken: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, but not listening
        port = free.getsockname()[1]
        assert port != taken
        with pytest.raises(JoinError, match=r"nobody listens here after 0\.2 s"):
            processes.join(f"127.0.0.1:{port}", 2, 1, connect_seconds=0.2)


def test_distributed_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    def find_nothing(*_args: object, **_options: object) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", find_nothing)
    with pytest.raises(
        ConfigError, match=r"^--distributed: JAX finds no processes to join here .*--coordinator"
    ):
        processes.join()
