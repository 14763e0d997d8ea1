"""The page holds what was found out, needs nothing else, and takes every text for text."""

import json
import re

import jax
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, RNNBlockConfig
from jaxrnn.data.vocabulary import build_vocabulary
from jaxrnn.errors import VocabularyError
from jaxrnn.inspection import page
from jaxrnn.inspection.page import inspect, layer_name, render
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from tests.inspection.test_packing import unpack

HOSTILE = (
    "</script><script>alert(1)</script> &amp; <!-- ]]> \u2028 \u00e9\u65e5\U0001f600 \x00 'a' \"b\"\n" * 3
)
CONFIG = ModelConfig(
    layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), RNNBlockConfig(cell="gru"), DenseConfig())
)


def run(text: str, name: str = "tiny") -> LanguageModel:
    vocabulary = build_vocabulary(text)
    return LanguageModel(CONFIG, stack.init(jax.random.key(0), CONFIG, vocabulary.size), vocabulary, name)


def html_of(text: str = HOSTILE, name: str = "tiny") -> str:
    inspected = run(text, name)
    return render(inspected, inspect(inspected, text), {"layers": "few"})


def data_of(html: str) -> dict:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(data)


@pytest.fixture(scope="module")
def html() -> str:
    return html_of()


def test_the_page_has_its_own_two_scripts_whatever_the_text_and_the_name() -> None:
    html = html_of(name="<b>&</script>")
    assert re.findall("<script[^>]*>", html) == ['<script type="application/json" id="data">', "<script>"]
    assert html.count("</script>") == 2
    assert "<title>Inside &lt;b&gt;&amp;&lt;/script&gt;</title>" in html
    assert data_of(html)["name"] == "<b>&</script>"


def test_the_text_comes_back_as_it_was(html: str) -> None:
    assert data_of(html)["text"] == HOSTILE
    assert "@@" not in html


def test_signs_that_mark_a_place_of_the_page_are_text_in_a_text() -> None:
    text = "@@js@@ and @@data@@"
    assert data_of(html_of(text))["text"] == text


def test_nothing_is_fetched(html: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`<]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a namespace
    assert not re.findall(r"\b(?:src|href)=(?![\"']data:)", html.replace("svg.append", ""))
    assert "default-src 'none'" in html


def test_activities_come_back_within_half_a_shade() -> None:
    text = "to be or not to be"
    inspected = run(text)
    inspection = inspect(inspected, text)
    data = data_of(render(inspected, inspection, {}))
    assert len(data["tracks"]) == len(inspection.activity.tracks) == 6 + 4
    for packed, track in zip(data["tracks"], inspection.activity.tracks, strict=True):
        scales = np.array(packed["scales"])
        found = scales * unpack(packed["data"], track.values.shape, packed["low"], 1.0, packed["levels"])
        half = scales * (1 - packed["low"]) / (packed["levels"] - 1) / 2
        assert (np.abs(found - track.values) <= half + 6e-3 * scales).all()  # a scale has three digits
        assert (scales[0] == 1) == (track.kind not in "hc")


def test_numbers_are_those_of_the_inspection() -> None:
    text = "to be or not to be"
    inspected = run(text)
    inspection = inspect(inspected, text, [run(text + "!", "other")])
    data = data_of(render(inspected, inspection, {"a": "b"}))
    np.testing.assert_allclose(data["nats"], inspection.activity.nll, atol=5e-4)
    np.testing.assert_allclose(data["probabilities"], inspection.activity.probabilities, atol=5e-5)
    assert data["about"] == [["a", "b"]]
    assert {(c["run"], c["layer"], c["field"]) for c in data["curves"]} == {
        (name, *place) for name in ("tiny", "other") for place in ((1, "h"), (1, "c"), (2, "h"))
    }
    assert data["layers"] == {"1": "1: lstm", "2": "2: rnn_block (gru)"}
    assert {(gate["layer"], gate["kind"]) for gate in data["saturation"]} == {
        (1, "i"),
        (1, "f"),
        (1, "o"),
        (2, "r"),
        (2, "z"),
    }


def test_a_large_model_is_shown_in_fewer_shades(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = data_of(html_of())["tracks"]
    assert {track["levels"] for track in fine} == {255}
    monkeypatch.setattr(page, "_BUDGET", 1)
    coarse = data_of(html_of())["tracks"]
    assert {track["levels"] for track in coarse} == {3}
    assert sum(len(track["data"]) for track in coarse) < sum(len(track["data"]) for track in fine)


def test_a_model_that_lacks_characters_is_compared_on_the_others() -> None:
    text = "to be or not to be"
    inspection = inspect(run(text), text, [run("to be", "less"), run("xyz", "nothing")])
    assert inspection.curves["less"][0].norms.size == sum(c in "to be" for c in text) - 2
    assert inspection.curves["nothing"] == ()


def test_a_character_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(VocabularyError):
        inspect(run("abc"), "abd")
    with pytest.raises(ValueError, match="empty"):
        inspect(run("abc"), "")


def test_one_character_makes_a_page() -> None:
    data = data_of(html_of("a"))
    assert (data["nats"], data["tracking"], data["curves"]) == ([], [], [])


def test_layers_are_named_as_in_the_config() -> None:
    assert [layer_name(CONFIG, index) for index in (0, 2)] == ["0: embedding", "2: rnn_block (gru)"]
