"""Requests and answers for a byte model; tests/cli/commands/test_play.py has the rest."""

import asyncio
import base64
import json
import socket
from typing import Any

import numpy as np
import pytest

from jaxrnn.data.vocabulary import byte_vocabulary
from jaxrnn.play.writing import Block

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


def test_bytes_survive_a_round_trip() -> None:
    from jaxrnn.play.server import _as_event, read_request

    every = np.arange(256)
    halves = np.full((256, 2), 0.5, np.float32)
    block = Block(every, np.ones(256), np.stack([every, every[::-1]], 1), halves, (np.zeros((256, 3)),))
    sent = json.dumps(_as_event(block, byte_vocabulary())).encode("ascii")
    made = json.loads(sent)["characters"]
    text = "é" + "".join(each["character"] for each in made) + made[0]["alternatives"][1][0]
    received = json.loads(json.dumps({"text": text}))
    asked = read_request(received, byte_vocabulary())
    assert asked.ids.tolist() == [0xC3, 0xA9, *range(256), 255]


@pytest.mark.parametrize(
    ("states", "levels"),
    [
        ((np.array([[-9.0, -1, 0, 1, 9]]), np.array([[-1.0]])), [[0, 0, 127, 254, 254], [0]]),
        ((), [[127]]),
    ],
    ids=["two layers, states beyond 1", "no hidden state"],
)
def test_a_unit_is_a_byte_also_beyond_one_and_where_no_layer_has_a_hidden_state(
    states: tuple[Any, ...], levels: list[list[int]]
) -> None:
    from jaxrnn.play.server import _as_event

    one = np.ones((1, 1))
    event = _as_event(Block(np.array([65]), np.ones(1), one.astype(int), one, states), byte_vocabulary())
    assert [list(base64.b64decode(units)) for units in event["units"]] == levels


def test_an_unpaired_surrogate_is_refused() -> None:
    from starlette.exceptions import HTTPException

    from jaxrnn.play.server import read_request

    with pytest.raises(HTTPException) as error:
        read_request({"text": "a\ud800"}, byte_vocabulary())
    assert (error.value.status_code, "U+D800" in error.value.detail) == (422, True)


def test_a_slow_answer_is_ended_even_if_the_client_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import uvicorn

    from jaxrnn.play import server

    monkeypatch.setattr(server, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(server, "LONGEST_TIME", 0.1)

    async def endless(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
            await asyncio.sleep(0.01)

    async def ask() -> int:
        config = uvicorn.Config(endless, http=server.Impatient, lifespan="off", log_level="critical")
        running = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(running.serve([listening]))
            while not running.started:
                await asyncio.sleep(0.01)
            with socket.create_connection(listening.getsockname()) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
                while not running.server_state.connections:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(1)
                left = len(running.server_state.connections)
            running.should_exit = running.force_exit = True
            await serving
        return left

    assert asyncio.run(ask()) == 0
