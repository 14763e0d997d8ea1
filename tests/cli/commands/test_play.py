"""`jaxrnn play` as a process on the loopback: answers, refusals, 50 clients at once, and shutdown."""

import base64
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest

from jaxrnn.runs.directory import read_vocabulary
from tests.cli.conftest import Command

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

TOKEN = "abcdefgh12345678"


class Server(NamedTuple):
    process: subprocess.Popen
    address: str  # host:port


# The command with a request timeout of 1 s.
PROGRAM = """
import sys
from jaxrnn.play import server
from jaxrnn_cli.app import main
server.LONGEST_WAIT = 1.0
sys.exit(main())
"""


@contextlib.contextmanager
def playing(run: Path, *args: str) -> Iterator[Server]:
    """A server that has printed its address; ended on exit."""
    command = [sys.executable, "-c", PROGRAM, "play", "--from", str(run), "--port", "0", *args]
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # background jobs of a shell ignore SIGINT
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        signal.signal(signal.SIGINT, before)
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            (url,) = re.findall(r"^jaxrnn: (http://\S+) until Ctrl-C$", line) or pytest.fail(line)
            yield Server(process, urlsplit(url).netloc)
        finally:
            process.kill()


LONG = b'{"text": "e", "length": 2000}'


def send(server: Server, body: bytes, length: int = len(LONG)) -> socket.socket:
    """A connection with a request sent on it, whose header announces a body of `length` bytes."""
    host, port = server.address.split(":")
    head = f"POST /write HTTP/1.1\r\nHost: {server.address}\r\nAuthorization: Bearer {TOKEN}\r\n"
    connection = socket.create_connection((host, int(port)), timeout=15)
    kind = f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(f"{head}{kind}".encode() + body)
    return connection


def end(server: Server, number: int) -> tuple[int, str]:
    """Send a signal while an answer is sent; return the exit code and the output."""
    with send(server, LONG) as connection:
        connection.recv(100)
        server.process.send_signal(number)
        _, err = server.process.communicate(timeout=20)
    return server.process.returncode, err


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[Server]:
    with playing(trained) as found:
        yield found
        # No request in these tests may print a line.
        assert end(found, signal.SIGTERM) == (-signal.SIGTERM, "")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(server.address, timeout=30)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "application/json", **named})
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.headers), response.read())
    connection.close()
    return answer


def characters(answer: Answer) -> list[dict[str, Any]]:
    """Return the text in the events."""
    *blocks, end, rest = answer.body.decode().split("\n\n")
    assert (end, rest) == ('event: done\ndata: ""', "")
    return [made for block in blocks for made in json.loads(block.removeprefix("data: "))["characters"]]


def test_the_model_is_described(server: Server, trained: Path) -> None:
    answer = json.loads(ask(server, "GET", "/model").body)
    assert answer["name"] == "tiny"
    assert answer["characters"] == read_vocabulary(trained).characters
    assert answer["layers"] == ["1: rnn"]
    assert answer["beginning"] == "\n"


def test_it_samples_the_same_text_as_sample(server: Server, jaxrnn: Command, trained: Path) -> None:
    asked = {"text": "ROMEO:", "length": 30, "temperature": 0.9, "rng_seed": 7}
    answer = ask(server, "POST", "/write", asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    made = characters(answer)
    text = "".join(each["character"] for each in made)
    options = ("--seed", "ROMEO:", "--length", "30", "--temperature", "0.9", "--rng-seed", "7")
    assert jaxrnn("sample", "--from", trained, *options).out == f"ROMEO:{text}\n"
    for each in made:
        probabilities = dict(each["alternatives"])
        assert len(probabilities) == 5
        if each["character"] in probabilities:
            assert probabilities[each["character"]] == pytest.approx(np.exp(-each["nats"]), abs=1e-3)


def test_unit_values_are_one_byte_each(server: Server) -> None:
    answer = ask(server, "POST", "/write", {"text": "ROMEO:", "length": 3})
    event = json.loads(answer.body.decode().split("\n\n")[0].removeprefix("data: "))
    (units,) = map(base64.b64decode, event["units"])  # one recurrent layer
    assert len(units) == 3 * 8
    assert max(units) <= 254


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 50_000, 400, "not JSON"),
        ([], 422, "JSON object"),
        ({}, 422, "text must be"),
        ({"text": ""}, 422, "text must be"),
        ({"text": "e" * 10_001}, 422, "text must be"),
        ({"text": "\u65e5"}, 422, "U+65E5"),
        ({"text": "e", "size": 1}, 422, "unknown key 'size'"),
        ({"text": "e", "length": 2001}, 422, "length must be"),
        ({"text": "e", "length": 2.5}, 422, "length must be"),
        ({"text": "e", "length": True}, 422, "length must be"),
        ({"text": "e", "temperature": -1}, 422, "temperature must be"),
        ({"text": "e", "temperature": "hot"}, 422, "temperature must be"),
        (b'{"text": "e", "temperature": NaN}', 422, "temperature must be"),
        ({"text": "e", "top_p": 0}, 422, "top_p must be"),
        ({"text": "e", "layer": 0}, 422, "unknown key 'layer'"),
        (b" " * 70_000, 413, "at most 65,536 bytes"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(server: Server, body: Any, status: int, why: str) -> None:
    answer = ask(server, "POST", "/write", body)
    assert (answer.status, why in json.loads(answer.body)["error"]) == (status, True)


@pytest.mark.parametrize("path", ["/model", "/write"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_another_origin_or_host_name_is_refused(
    server: Server, path: str, headers: dict, status: int
) -> None:
    answer = ask(server, "POST" if path == "/write" else "GET", path, {"text": "e"}, **headers)
    assert answer.status == status


def test_no_answer_is_readable_by_another_origin(server: Server) -> None:
    for path in ("/", "/model", "/play.js", "/nowhere"):
        headers = {name.lower() for name in ask(server, "GET", path).headers}
        assert "access-control-allow-origin" not in headers
        assert "content-security-policy" in headers
    plain = ask(
        server, "POST", "/write", {"text": "e"}, Content_Type="text/plain"
    )  # a content type that a form can send
    assert plain.status == 415
    assert ask(server, "OPTIONS", "/write").status == 405


def resident_kilobytes(process: subprocess.Popen) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_50_clients_are_served_without_memory_growth(server: Server) -> None:
    asked = {"text": "ROMEO:\n", "length": 40}
    stop = threading.Event()

    def client(_: int) -> int:
        served = 0
        while not stop.is_set():
            assert len(characters(ask(server, "POST", "/write", asked))) == 40
            served += 1
        return served

    with ThreadPoolExecutor(50) as pool:
        clients = [pool.submit(client, number) for number in range(50)]
        time.sleep(1)  # one-time allocations are done
        memory = []
        for _ in range(15):
            memory.append(resident_kilobytes(server.process))
            time.sleep(0.1)
        stop.set()
    assert min(client.result() for client in clients) >= 1
    assert max(memory) < memory[0] + 30_000  # kB, for up to 50 threads of a pool


def test_disconnected_clients_free_their_slots(server: Server) -> None:
    """Disconnect the maximum number of clients while they are answered."""
    with contextlib.ExitStack() as clients:
        for _ in range(64):
            clients.enter_context(send(server, LONG))
        assert ask(server, "POST", "/write", {"text": "e", "length": 1}).status == 503
    for _ in range(50):
        answer = ask(server, "POST", "/write", {"text": "e", "length": 1})
        if answer.status == 200:
            break
        assert answer.status == 503
        time.sleep(0.2)
    assert answer.status == 200


def test_silent_and_slow_clients_are_disconnected(server: Server) -> None:
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=15) as silent:
        with send(server, b"", length=100) as slow:
            assert b" 408 " in slow.recv(1000)
        assert silent.recv(1) == b""
    assert ask(server, "GET", "/model").status == 200


def test_an_incomplete_second_request_is_disconnected(server: Server) -> None:
    host, port = server.address.split(":")
    for path, more in (("/model", b"G"), ("/", b"\0" * 10)):
        with socket.create_connection((host, int(port)), timeout=15) as connection:
            length = len(more) + 1  # longer than the body sent
            head = f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: {length * (path == '/')}\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.recv(1_000_000)
            assert b" 200 " in answer
            connection.sendall(more)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(1_000_000):
                    pass


def test_invalid_requests_are_answered_without_output(server: Server) -> None:
    with send(server, b'{"te', length=100):
        pass  # a client that disconnects during its body
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "eA==",
        "Sec_WebSocket_Version": "13",
    }
    assert ask(server, "GET", "/", **upgrade).status == 200
    assert ask(server, "GET", "/write", **upgrade).status == 405
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(b"\0\r\n\r\n")
        assert b" 400 " in connection.recv(1000)
    assert ask(server, "GET", "/model").status == 200  # the fixture checks that nothing was printed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
def test_a_token_is_required_at_every_address_until_ctrl_c(trained: Path) -> None:
    with playing(trained, "--host", "127.0.0.2", "--token", TOKEN) as server:
        assert server.address.startswith("127.0.0.2:")
        assert ask(server, "GET", "/").status == 200
        assert ask(server, "GET", "/model").status == 401
        assert ask(server, "POST", "/write", {"text": "e"}, Authorization="Bearer wrong").status == 401
        assert ask(server, "GET", "/model", Authorization=f"Bearer {TOKEN}").status == 200
        assert end(server, signal.SIGINT) == (130, "jaxrnn: error: interrupted\n")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--host", "0.0.0.0"), "give --token"),
        (("--host", "0"), "give --token"),
        (("--host", "example.org"), "give --token"),
        (("--token", "short"), "16 letters and digits"),
        (("--token", "abcdefgh1234567\u00e9"), "16 letters and digits"),
        (("--port", "70000"), "is not from 0"),
        (("--host", "a..b", "--token", TOKEN), "a..b can't be resolved"),
    ],
)
def test_invalid_options_are_refused(jaxrnn: Command, trained: Path, args: tuple, why: str) -> None:
    assert why in jaxrnn("play", "--from", trained, *args).error


def test_a_token_from_the_environment_is_not_visible_in_the_process_list(
    jaxrnn: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXRNN_PLAY_TOKEN", "short")
    assert "16 letters and digits" in jaxrnn("play", "--from", trained).error
    monkeypatch.setenv("JAXRNN_PLAY_TOKEN", TOKEN)
    with playing(trained) as server:
        assert ask(server, "GET", "/model").status == 401
        assert ask(server, "GET", "/model", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_port_in_use_is_one_line(jaxrnn: Command, trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "can't listen on 127.0.0.1" in jaxrnn("play", "--from", trained, "--port", port).error


@pytest.mark.browser
def test_the_page_samples_shows_alternatives_and_branches(server: Server, open_page: Any) -> None:
    page = open_page()
    page.goto(f"http://{server.address}/")
    page.wait_for_selector("body[data-ready=true]")
    assert page.title() == "Write with tiny"
    page.locator("#seed").fill("ROMEO:\n")
    page.locator("#speed").fill("200")
    page.locator("#length").fill("60")
    page.locator("#go").click()
    page.wait_for_selector("#text [data-index='59']")
    page.wait_for_selector("#stop:disabled")
    text = page.locator("#text").text_content()
    assert text.startswith("ROMEO:\n") and len(text) == 7 + 60
    page.locator("#text [data-index='20']").click()
    page.locator("#text [data-index='50']").hover()  # the pointer moves towards the alternatives
    assert page.locator("#text .here").get_attribute("data-index") == "20"
    assert page.locator("#details button").count() == 5
    alternative = page.locator("#details button:not([disabled])").first
    page.locator("#length").fill("20")
    alternative.click()
    page.wait_for_selector("#text [data-index='40']")
    page.wait_for_selector("#stop:disabled")
    branched = page.locator("#text").text_content()
    assert branched[: 7 + 20] == text[: 7 + 20] and branched[7 + 20] != text[7 + 20]
    assert len(branched) == 7 + 20 + 1 + 20
    assert page.evaluate("document.activeElement.id") == "text"
    page.locator("#more").click()
    page.wait_for_selector("#text [data-index='60']")
    assert page.evaluate("document.getElementById('units').width") == 3  # 8 units in a 3 by 3 grid


@pytest.mark.browser
def test_the_page_removes_the_token_from_the_address(trained: Path, chromium: Any) -> None:
    with playing(trained, "--token", TOKEN) as server:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"http://{server.address}/")
        page.locator("#about", has_text="token").wait_for()
        page = context.new_page()
        page.goto(f"http://{server.address}/#token={TOKEN}")
        page.wait_for_selector("body[data-ready=true]")
        assert TOKEN not in page.url
        page.reload()
        page.wait_for_selector("body[data-ready=true]")
        context.close()
