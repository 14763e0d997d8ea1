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
from jaxrnn.inspection.activity import Track
from jaxrnn.inspection.page import Inspection, inspect, render
from jaxrnn.inspection.readable import Tracking
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
    return render(model, inspect(model, HOSTILE), {"layers": "few"}).html


@pytest.fixture(scope="module")
def inspection() -> Inspection:
    return inspect(model_of(TEXT), TEXT, [model_of(TEXT, "other")])


@pytest.fixture
def data(inspection: Inspection) -> dict:
    return data_of(render(model_of(TEXT), inspection, {"a": "b"}, {"tiny": 7}).html)


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


def unpack_unit(track: dict, unit: int, characters: int) -> np.ndarray:
    """Return the values of a unit, as page.js unpacks them."""
    part = unit not in track["ranked"]
    units = [u for u in range(len(track["scales"])) if (u not in track["ranked"]) == part]
    shape, levels = (characters, len(units)), track["levels"][part]
    values = unpack(track["data"][part], shape, track["low"], 1.0, levels)
    return track["scales"][unit] * values[:, units.index(unit)]


def test_activations_are_accurate_to_half_a_shade(inspection: Inspection, data: dict) -> None:
    assert len(data["tracks"]) == len(inspection.activity.tracks) == 6 + 4
    for packed, track in zip(data["tracks"], inspection.activity.tracks, strict=True):
        assert packed["levels"] == [255, 255]
        for unit, scale in enumerate(packed["scales"]):
            half = scale * (1 - packed["low"]) / 254 / 2
            found = unpack_unit(packed, unit, len(TEXT))
            assert (
                np.abs(found - track.values[:, unit]) <= half + 6e-3 * scale
            ).all()  # a scale has 3 digits
        assert (packed["scales"][0] == 1) == (track.kind not in "hc")


def test_numbers_equal_those_of_the_inspection(inspection: Inspection, data: dict) -> None:
    np.testing.assert_allclose(data["nats"], inspection.activity.nll, atol=5e-4)
    np.testing.assert_allclose(data["probabilities"], inspection.activity.probabilities, rtol=5e-3)
    assert data["about"] == [["a", "b"]]
    assert {(c["run"], c["layer"], c["field"]) for c in data["curves"]} == {
        (name, *place) for name in ("tiny", "other") for place in ((1, "h"), (1, "c"), (2, "h"))
    }
    assert data["seqLens"] == {"tiny": 7}  # that of the compared run is not known
    assert data["layers"] == {"1": "1: lstm", "2": "2: rnn_block (gru)"}
    assert {(gate["layer"], gate["kind"]) for gate in data["saturation"]} == {
        *((1, gate) for gate in "ifo"),
        *((2, gate) for gate in "rz"),
    }


def noisy(size: int, ranked: int) -> Inspection:
    """An inspection of a large layer, whose values can't be compressed."""
    rng, text = np.random.default_rng(0), "to be or not" * 20
    small = inspect(model_of(text), text)
    tracks = [Track(1, kind, rng.uniform(0, 1, (len(text), size)).astype(np.float32)) for kind in "hcifgo"]
    tracking = [Tracking("digit", 1, "c", unit, 0.9, 0.1) for unit in range(ranked)]
    return small._replace(activity=small.activity._replace(tracks=tuple(tracks)), tracking=tracking)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (10, (255, 255, 255, 255)),
        (80, (255, 255, 15, 3)),
        (320, (255, 255, 5, 0)),
        (2000, (255, 255, 0, 0)),
    ],
)
def test_a_page_is_bounded_and_keeps_ranked_units_and_states_exact_for_longest(
    size: int, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    inspection, model = noisy(size, ranked=5), model_of("to be or not")
    monkeypatch.setattr(page, "_LARGEST", 0)
    monkeypatch.setattr(page, "_LARGEST", len(render(model, inspection, {}).html) + 60_000)
    html, levels = render(model, inspection, {})
    assert len(html.encode()) <= page._LARGEST
    assert levels == expected
    states, *_, gates = data_of(html)["tracks"]
    assert (states["ranked"], states["levels"]) == ([0, 1, 2, 3, 4], [levels.ranked_states, levels.states])
    assert gates["levels"] == [levels.ranked_gates, levels.gates]
    found = unpack_unit(states, 3, len(inspection.text))
    np.testing.assert_allclose(found, inspection.activity.tracks[0].values[:, 3], atol=1 / 127)


def test_scores_and_baselines_come_from_the_same_procedure() -> None:
    text = "to be.\nor not.\n" * 20
    model = model_of(text)
    untrained = model._replace(
        params=stack.init(jax.random.key(page._UNTRAINED_SEED), CONFIG, model.vocabulary.size)
    )
    inspected = inspect(untrained, text, patterns=[re.compile("^[a-z]", re.MULTILINE)])
    names = {tracking.feature for tracking in inspected.tracking}
    assert names == {"position in the line", "word boundary", "pattern ^[a-z]"}
    for name in names:  # an untrained network is no better than an untrained network
        found = [tracking for tracking in inspected.tracking if tracking.feature == name]
        assert (
            {tracking.baseline for tracking in found}
            == {max(abs(tracking.score) for tracking in found)}
            != {0}
        )
    assert inspect(model, text).tracking[0].score != inspected.tracking[0].score


def test_the_surprisal_of_another_run_is_that_of_a_page_of_its_own(data: dict) -> None:
    (compared,) = data["compared"]
    assert compared["run"] == "other"  # of the same weights
    first, *others = compared["nats"]
    assert first is None
    np.testing.assert_allclose(others, data["nats"], atol=0.0015)


def test_a_smaller_vocabulary_has_no_surprisal_for_what_it_does_not_know() -> None:
    less = model_of("to be", "less")
    (nats,) = data_of(render(model_of(TEXT), inspect(model_of(TEXT), TEXT, [less]), {}).html)["compared"]
    assert [nat is None for nat in nats["nats"]] == [True, *(c not in "to be" for c in TEXT[1:])]
    known = "".join(c for c in TEXT if c in "to be")
    alone = data_of(render(less, inspect(less, known), {}).html)["nats"]
    np.testing.assert_allclose([nat for nat in nats["nats"] if nat is not None], alone, atol=0.0015)


def test_every_unit_has_a_cost(inspection: Inspection, data: dict) -> None:
    assert [(of["layer"], len(of["costs"]), of["characters"]) for of in data["ablation"]] == [
        (1, 4, len(TEXT)),
        (2, 4, len(TEXT)),
    ]
    for shown, found in zip(data["ablation"], inspection.ablation, strict=True):
        np.testing.assert_allclose(shown["costs"], found.costs, rtol=0.005)


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
    data = data_of(render(model_of("a"), inspect(model_of("a"), "a"), {}).html)
    assert (data["nats"], data["tracking"], data["ablation"], data["curves"]) == ([], [], [], [])
