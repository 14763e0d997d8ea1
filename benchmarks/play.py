"""How fast `jaxrnn play` answers: python -m benchmarks.play RUN.

A real server on the loopback and clients in threads. First byte: from sending a request to the first of its characters,
one client, medians. Characters per second: of one client, and of 50 concurrent clients together, for 10 s.
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from typing import NamedTuple

_REQUESTS = 50


class Timing(NamedTuple):
    """One request."""

    first_byte: float  # seconds
    whole: float  # seconds
    characters: int


def ask(address: str, length: int) -> Timing:
    """Lets the server write, and reads all of it.

    Raises:
        RuntimeError: It refused.
    """
    connection = http.client.HTTPConnection(address, timeout=60)
    begun = time.perf_counter()
    body = json.dumps({"text": "\n", "length": length})
    connection.request("POST", "/write", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"the server answered {response.status}: {response.read().decode()}")
    response.readline()
    first_byte = time.perf_counter() - begun
    response.read()
    connection.close()
    return Timing(first_byte, time.perf_counter() - begun, length)


def crowd(address: str, clients: int, seconds: float, length: int) -> list[Timing]:
    """All that so many clients are served within so many seconds, each asking again and again."""
    timings: list[Timing] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        while time.perf_counter() < end:
            timings.append(ask(address, length))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return timings


def main(arguments: list[str] | None = None) -> int:
    """Prints the timings and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.play", description="How fast jaxrnn play answers."
    )
    parser.add_argument("run", help="a run directory, or the name of one in checkpoints/")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long fifty clients ask (10)")
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "jaxrnn_cli", "play", "--from", options.run, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        found = re.search(r"http://([\d.:]+)/", line)
        if found is None:
            print(line.strip(), file=sys.stderr)
            return server.wait()
        try:
            address = found[1]
            single = [ask(address, 200) for _ in range(_REQUESTS)]
            print(f"first byte    {1000 * statistics.median(t.first_byte for t in single):.1f} ms")
            speed = statistics.median(t.characters / t.whole for t in single)
            print(f"one client    {speed:,.0f} characters/s")
            begun = time.perf_counter()
            many = crowd(address, 50, options.seconds, 200)
            seconds = time.perf_counter() - begun
            total = sum(t.characters for t in many) / seconds
            slowest = max(t.first_byte for t in many)
            print(f"fifty clients {total:,.0f} characters/s in all, {len(many)} requests, no error")
            print(f"first byte    {1000 * slowest:.0f} ms at most")
        finally:
            server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
