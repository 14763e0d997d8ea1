"""The pages of `jaxrnn inspect` and `jaxrnn play` in a real browser with a byte model."""

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, ModelConfig, RNNConfig
from jaxrnn.data.vocabulary import byte_vocabulary, encode
from jaxrnn.inspection.page import inspect, render
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.play.writing import Block

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

CONFIG = ModelConfig(layers=(EmbeddingConfig(size=3), RNNConfig(size=3), DenseConfig()))
PIECES = {  # bytes, and the text shown for each
    b"a": ["a"],
    "é".encode(): ["é", "\u202f"],
    b"\xff": [r"\xff"],
    "日".encode(): ["日", "\u202f", "\u202f"],
    "日".encode()[:2]: [r"\xe6", r"\x97"],
    "😀".encode(): ["😀", "\u202f", "\u202f", "\u202f"],
    b"\xc2\x9b": [r"\xc2", r"\x9b"],  # a control character
    b"\0\x7f": [r"\x00", r"\x7f"],
    b"<b>\n": ["<", "b", ">", "\n"],
}
DATA = b"".join(PIECES)
SHOWN = [each for shown in PIECES.values() for each in shown]


def spans(page: "Page") -> list[str]:
    return page.eval_on_selector_all("#text span:not(.given)", "spans => spans.map(s => s.textContent)")


def test_inspect_page_shows_characters_for_complete_utf8(open_page: Any, tmp_path: Path) -> None:
    page = open_page()
    run = LanguageModel(CONFIG, stack.init(jax.random.key(0), CONFIG, 256), byte_vocabulary(), "b")
    html = render(run, inspect(run, DATA), {"bytes": str(len(DATA))}).html
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-ready=true]")
    assert spans(page) == SHOWN
    page.locator("#text span").nth(1).hover()
    assert r"\xc3" in page.locator("#details").inner_text()
    page.locator("#pattern").fill(r"[\x80-\xff]")
    page.locator("#search button").click()
    page.locator("#found-note", has_text="bytes match").wait_for()
    assert page.locator("#text .match").count() == sum(byte >= 0x80 for byte in DATA)


def test_play_page_shows_bytes_and_sends_them_back(open_page: Any) -> None:
    page = open_page()
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from jaxrnn.play.server import PAGE, _as_event, describe, read_request

    vocabulary = byte_vocabulary()
    sent: list[list[int]] = []

    def answer(route: "Route") -> None:
        """Answer as the server does, with the bytes of `PIECES`."""
        path = route.request.url.removeprefix("http://localhost")
        if path == "/model":
            route.fulfill(json=describe(LanguageModel(CONFIG, (), vocabulary, "b"), (1,)))
        elif path == "/write":
            sent.append(read_request(json.loads(route.request.post_data or ""), vocabulary).ids.tolist())
            event = json.dumps(_as_event(block, vocabulary))
            body = f'data: {event}\n\nevent: done\ndata: ""\n\n'
            route.fulfill(body=body, content_type="text/event-stream")
        else:
            package, name, kind = PAGE[path]
            route.fulfill(body=resources.files(package).joinpath(name).read_bytes(), content_type=kind)

    def count(last: int) -> Any:
        page.wait_for_selector(f"#text [data-index='{last}']")
        page.wait_for_selector("#stop:disabled")
        return spans(page)

    ids = np.frombuffer(DATA, np.uint8).astype(np.int32)
    likeliest = np.stack([ids, np.full_like(ids, ord("!"))], axis=1)
    probabilities = np.full(likeliest.shape, 0.5, np.float32)
    block = Block(ids, np.ones(len(ids), np.float32), likeliest, probabilities, (np.zeros((len(ids), 3)),))
    page.route("**/*", answer)
    page.goto("http://localhost/")
    page.wait_for_selector("body[data-ready=true]")
    assert "bytes" in page.locator("#about").inner_text()
    page.locator("#speed").fill("200")
    page.locator("#seed").fill("né")
    page.locator("#go").click()
    assert count(len(DATA) - 1) == SHOWN
    page.locator("#more").click()
    assert count(2 * len(DATA) - 1) == SHOWN + SHOWN
    assert sent == [list("né".encode()), list("né".encode() + DATA)]
    # Branching inside a character leaves incomplete UTF-8.
    page.locator("#text [data-index='5']").click()
    page.locator("#details button:not([disabled])").click()
    count(len(DATA) + 5)
    assert spans(page)[:6] == ["a", "é", "\u202f", r"\xff", r"\xe6", "!"]
    assert sent[-1] == [*encode(vocabulary, "né").tolist(), *DATA[:5], ord("!")]
