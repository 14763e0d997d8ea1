"""What goes out to the page, and what comes in, of a model of bytes; the rest is in tests/cli/test_play.py."""

import json

import numpy as np
import pytest

from jaxrnn.data.vocabulary import byte_vocabulary
from jaxrnn.play.writing import Block

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


def test_bytes_go_out_and_come_back_as_they_are() -> None:
    from jaxrnn.play.server import _as_event, read_request

    every = np.arange(256)
    halves = np.full((256, 2), 0.5, np.float32)
    block = Block(every, np.ones(256), np.stack([every, every[::-1]], 1), halves, (np.zeros((256, 3)),))
    sent = json.dumps(_as_event(block, byte_vocabulary(), 0)).encode("ascii")
    made = json.loads(sent)["characters"]
    text = "é" + "".join(each["character"] for each in made) + made[0]["alternatives"][1][0]
    received = json.loads(json.dumps({"text": text}))
    asked = read_request(received, byte_vocabulary(), num_layers=1)
    assert asked.ids.tolist() == [0xC3, 0xA9, *range(256), 255]


def test_half_a_pair_of_utf_16_is_no_byte() -> None:
    from starlette.exceptions import HTTPException

    from jaxrnn.play.server import read_request

    with pytest.raises(HTTPException) as error:
        read_request({"text": "a\ud800"}, byte_vocabulary(), num_layers=1)
    assert (error.value.status_code, "U+D800" in error.value.detail) == (422, True)
