"""The page of `jaxrnn play` in a real browser, with the answers of a server that writes a fixed text."""

import json
import re
import time
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.data.vocabulary import build_vocabulary, encode
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.play.writing import Block

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

VOCABULARY = build_vocabulary("abc \n\u202e\u0301")
CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), LSTMConfig(size=9), DenseConfig()))


def block_of(text: str) -> Block:
    """A block whose characters have a probability of 0.334 each, and two layers, all 1 and all -1."""
    ids = np.asarray(encode(VOCABULARY, text), np.int32)
    likeliest = np.stack([ids, (ids + 1) % VOCABULARY.size], axis=1)
    probabilities = np.tile(np.array([0.334, 1e-6], np.float32), (len(ids), 1))
    nll = np.full(len(ids), 1.1, np.float32)  # 0.33287: another number with one digit
    return Block(ids, nll, likeliest, probabilities, (np.ones((len(ids), 4)), -np.ones((len(ids), 9))))


def serve(page: "Page", text: str) -> None:
    """Open the page of a server that answers every request with one text."""
    from jaxrnn.play.server import PAGE, _as_event, describe, read_request

    def answer(route: "Route") -> None:
        path = route.request.url.removeprefix("http://localhost")
        if path == "/model":
            route.fulfill(json=describe(LanguageModel(CONFIG, (), VOCABULARY, "tiny"), (1, 2)))
        elif path == "/write":
            read_request(json.loads(route.request.post_data or ""), VOCABULARY)
            event = json.dumps(_as_event(block_of(text), VOCABULARY))
            body = f'data: {event}\n\nevent: done\ndata: ""\n\n'
            route.fulfill(body=body, content_type="text/event-stream")
        else:
            package, name, kind = PAGE[path]
            route.fulfill(body=resources.files(package).joinpath(name).read_bytes(), content_type=kind)

    page.route("**/*", answer)
    page.goto("http://localhost/")
    page.wait_for_selector("body[data-ready=true]")


@pytest.fixture
def playing(open_page: Callable[..., "Page"]) -> Callable[..., "Page"]:
    """Open the page of a model that writes a given text."""

    def open_(text: str, **settings: Any) -> "Page":
        page = open_page(**settings)
        serve(page, text)
        return page

    return open_


def write(page: "Page", speed: int = 200) -> None:
    page.locator("#speed").fill(str(speed))
    page.locator("#go").click()  # enables #stop before it returns
    page.wait_for_selector("#stop:disabled")


def squares(page: "Page") -> list[Any]:
    """The width of the picture of the units, and the color of its first square."""
    return page.evaluate(
        """() => {
          const canvas = document.getElementById('units');
          const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          return [canvas.width, [...copy.getImageData(0, 0, 1, 1).data.slice(0, 3)]];
        }"""
    )


def test_each_control_has_a_name(playing) -> None:
    page = playing("abc")
    for role, names in (("slider", ("temperature", "top-k", "top-p", "characters", "characters per second, at most")),
                        ("combobox", ("units of layer",))):  # fmt: skip
        for name in names:
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert page.get_by_role("slider", name="top-k").get_attribute("aria-valuetext") == "all"


def test_another_layer_is_shown_at_once(playing) -> None:
    page = playing("abc")
    write(page)
    assert squares(page) == [2, [200, 90, 0]]  # 4 units, orange
    page.locator("#layer").select_option(label="2: lstm")
    assert squares(page) == [3, [29, 90, 172]]  # 9 units, blue


def test_the_page_states_how_a_character_was_drawn(playing) -> None:
    page = playing("abc")
    page.locator("#temperature").fill("0.5")
    page.locator("#top_k").fill("3")
    write(page)
    page.locator("#temperature").fill("1.5")  # for what is written next
    page.locator("#text [data-index='1']").click()
    details = page.locator("#details").inner_text()
    assert "own, at temperature 1; this one was drawn at temperature 0.5, top-k 3." in details
    assert re.findall(r"[<\d.]+ ?[\d.]* %", details) == ["33.4 %", "33.4 %", "< 0.01 %"]
    page.locator("#details button:not([disabled])").click()
    assert "chosen by you" in page.locator("#details").inner_text()


def test_keys_scroll_the_text_and_announce_the_character(playing) -> None:
    page = playing("a\n" * 100)
    write(page)
    assert page.locator("#said").inner_text().startswith("a a")
    page.locator("#text").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.locator("#text").evaluate("node => { node.scrollTop = 0; }")
    page.keyboard.press("ArrowLeft")
    here, text = page.locator("#text .here").bounding_box(), page.locator("#text").bounding_box()
    assert text["y"] <= here["y"] <= text["y"] + text["height"]
    assert page.locator("#said").inner_text() == "a, 1.10 nats, 33.4 %"
    assert page.locator("#said").get_attribute("role") == "status"


def test_a_change_of_the_color_scheme_recolors_the_text(playing) -> None:
    page = playing("abc", color_scheme="light")
    write(page)
    span = page.locator("#text [data-index='0']")
    light = span.evaluate("node => node.style.backgroundColor"), squares(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => document.querySelector('[data-index]').style.backgroundColor !== before", arg=light[0]
    )
    assert squares(page) != light[1]


# 300 characters at 200 per second.
def test_the_speed_of_the_slider_is_reached(playing) -> None:
    page = playing("abc " * 75)
    page.evaluate(
        "() => { window.setTimeout = ((wait) => (f, ms) => wait(f, ms + 15))(setTimeout); }"
    )  # late timers
    start = time.monotonic()
    write(page, speed=200)
    seconds = time.monotonic() - start
    assert page.locator("#text [data-index]").count() == 300
    assert 1.4 < seconds < 3.5  # 1.5 s; 6 s if each character waited for a late timer


def test_a_server_that_is_gone_is_named(chromium: "Browser") -> None:
    page = chromium.new_context().new_page()  # a browser reports the lost connection on the console
    serve(page, "abc")
    page.route("**/write", lambda route: route.abort("connectionrefused"))
    page.locator("#go").click()
    page.locator("#status", has_text="the server is gone; start jaxrnn play again").wait_for()
    page.context.close()


def test_invisible_and_combining_characters_have_labels(playing) -> None:
    page = playing("a\u202eb\u0301c")
    write(page)
    assert page.locator("#text .odd").all_inner_texts() == ["U+202E"]
    page.locator("#text").focus()
    page.keyboard.press("ArrowRight")
    names = []
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        names.append(page.locator("#details kbd").first.inner_text())
    assert names == ["U+202E", "b", "\u25cc\u0301", "c"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(playing, check_accessibility, scheme: str) -> None:
    page = playing("abc " * 20, color_scheme=scheme)
    write(page)
    page.locator("#text [data-index='3']").click()
    check_accessibility(page)
