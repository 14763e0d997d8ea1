"""The page contains the inspection, is self-contained, and does not interpret HTML in texts."""

import json
import re

import jax
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, RNNBlockConfig
from jaxrnn.data.vocabulary import build_vocabulary
from jaxrnn.errors import VocabularyError
from jaxrnn.inspection import page
from jaxrnn.inspection.page import Inspection, inspect, render
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from tests.inspection.test_packing import unpack

HOSTILE = (
    "</script><script>alert(1)</script> &amp; <!-- ]]> @@js@@ \u2028 \u00e9\u65e5\U0001f600 \x00 'a' \"b\"\n"
    * 3
)
NAME = "<b>&</script>"
CONFIG = ModelConfig(
    layers=(EmbeddingConfig(size=4), LSTMConfig(size=4), RNNBlockConfig(cell="gru"), DenseConfig())
)
TEXT = "to be or not to be"


def model_of(text: str, name: str = "tiny") -> LanguageModel:
    vocabulary = build_vocabulary(text)
    return LanguageModel(CONFIG, stack.init(jax.random.key(0), CONFIG, vocabulary.size), vocabulary, name)


def data_of(html: str) -> dict:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(data)


@pytest.fixture(scope="module")
def hostile() -> str:
    """The page of a text and a run name with HTML."""
    model = model_of(HOSTILE, NAME)
    return render(model, inspect(model, HOSTILE), {"layers": "few"})


@pytest.fixture(scope="module")
def inspection() -> Inspection:
    return inspect(model_of(TEXT), TEXT, [model_of(TEXT, "other")])


@pytest.fixture
def data(inspection: Inspection) -> dict:
    return data_of(render(model_of(TEXT), inspection, {"a": "b"}))


def test_html_in_the_text_or_name_adds_no_script(hostile: str) -> None:
    assert re.findall("<script[^>]*>", hostile) == ['<script type="application/json" id="data">', "<script>"]
    assert hostile.count("</script>") == 2
    assert "<title>Inside &lt;b&gt;&amp;&lt;/script&gt;</title>" in hostile
    assert data_of(hostile)["name"] == NAME
    assert data_of(hostile)["text"] == HOSTILE
    assert hostile.count("@@") == HOSTILE.count("@@")


def test_the_page_loads_nothing(hostile: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`<]+", hostile))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace, not a request
    assert not re.findall(r"\b(?:src|href)=(?![\"']data:)", hostile.replace("svg.append", ""))
    assert "default-src 'none'" in hostile


def test_activations_are_accurate_to_half_a_shade(inspection: Inspection, data: dict) -> None:
    assert len(data["tracks"]) == len(inspection.activity.tracks) == 6 + 4
    for packed, track in zip(data["tracks"], inspection.activity.tracks, strict=True):
        scales = np.array(packed["scales"])
        found = scales * unpack(packed["data"], track.values.shape, packed["low"], 1.0, packed["levels"])
        half = scales * (1 - packed["low"]) / (packed["levels"] - 1) / 2
        assert (np.abs(found - track.values) <= half + 6e-3 * scales).all()  # a scale has 3 digits
        assert (scales[0] == 1) == (track.kind not in "hc")


def test_numbers_equal_those_of_the_inspection(inspection: Inspection, data: dict) -> None:
    np.testing.assert_allclose(data["nats"], inspection.activity.nll, atol=5e-4)
    np.testing.assert_allclose(data["probabilities"], inspection.activity.probabilities, atol=5e-5)
    assert data["about"] == [["a", "b"]]
    assert {(c["run"], c["layer"], c["field"]) for c in data["curves"]} == {
        (name, *place) for name in ("tiny", "other") for place in ((1, "h"), (1, "c"), (2, "h"))
    }
    assert data["layers"] == {"1": "1: lstm", "2": "2: rnn_block (gru)"}
    assert {(gate["layer"], gate["kind"]) for gate in data["saturation"]} == {
        *((1, gate) for gate in "ifo"),
        *((2, gate) for gate in "rz"),
    }


def test_a_large_model_has_fewer_shades(
    inspection: Inspection, data: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {track["levels"] for track in data["tracks"]} == {255}
    monkeypatch.setattr(page, "_BUDGET", 1)
    coarse = data_of(render(model_of(TEXT), inspection, {}))["tracks"]
    assert {track["levels"] for track in coarse} == {3}
    assert sum(len(track["data"]) for track in coarse) < sum(len(track["data"]) for track in data["tracks"])


def test_a_model_with_a_smaller_vocabulary_is_compared_on_its_characters() -> None:
    inspection = inspect(model_of(TEXT), TEXT, [model_of("to be", "less"), model_of("xyz", "nothing")])
    assert inspection.curves["less"][0].norms.size == sum(c in "to be" for c in TEXT) - 2
    assert inspection.curves["nothing"] == ()


def test_a_character_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(VocabularyError):
        inspect(model_of("abc"), "abd")
    with pytest.raises(ValueError, match="empty"):
        inspect(model_of("abc"), "")


def test_one_character_makes_a_page() -> None:
    data = data_of(render(model_of("a"), inspect(model_of("a"), "a"), {}))
    assert (data["nats"], data["tracking"], data["curves"]) == ([], [], [])
