"""One HTML file that shows the activations of a model on a text: no network, no other file.

This module computes the numbers and embeds them as JSON; `page.js` draws them. The text and all names come from users:
they are passed only as JSON, with every `<` escaped, and inserted into the page as text, never as HTML.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Text, drop_unknown, encode
from jaxrnn.inspection.ablation import Ablation, ablate
from jaxrnn.inspection.activity import GATES, NAMES, Activity, Track, observe, saturation
from jaxrnn.inspection.comparison import surprisal
from jaxrnn.inspection.lookback import LookBack, look_back
from jaxrnn.inspection.packing import Levels, Packed, levels_per_byte, pack, pack_tracks
from jaxrnn.inspection.readable import Tracking, find_tracking
from jaxrnn.inspection.saliency import saliency
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel

_LARGEST = 2_000_000  # bytes of a page
_SALIENCY_LEVELS = 15
# One script, in this order.
_SCRIPTS = ("shared.js", "page.js", "comparison.js", "saliency.js", "ablation.js", "tracking.js", "charts.js")
_UNTRAINED_SEED = 2**31 - 1  # one that no run is likely to have begun with


class Page(NamedTuple):
    """A page, and how exact its activations are."""

    html: str  # a document that needs nothing else
    levels: Levels


class Inspection(NamedTuple):
    """The content of the page."""

    text: Text
    activity: Activity
    saliency: np.ndarray  # from `saliency`
    tracking: list[Tracking]
    ablation: list[Ablation]
    curves: dict[str, tuple[LookBack, ...]]  # by the name of the run, the inspected one first
    compared: dict[str, np.ndarray]  # of each other run, by name: from `surprisal`


def inspect(
    model: LanguageModel,
    text: Text,
    compared: Sequence[LanguageModel] = (),
    patterns: Sequence[re.Pattern[str]] = (),
) -> Inspection:
    """Read a text with a model and find out what its units do.

    Args:
        model: the model that reads.
        text: one character at least, all of them in its vocabulary; `bytes` for a model of bytes.
        compared: other models of the same kind of token, for which it is measured how well they predict and how far
            back they look; each reads the text without the characters that it does not know.
        patterns: regular expressions; the units are found that follow their matches.

    Raises:
        VocabularyError: the model does not know a character of the text.
        ValueError: the text is empty.
    """
    if not text:
        raise ValueError("an empty text shows nothing")
    ids, separator_id = encode(model.vocabulary, text), model.vocabulary.separator_id
    activity = observe(model.config, model.params, ids, separator_id=separator_id)
    contributions = saliency(model.config, model.params, ids, separator_id=separator_id)
    untrained = stack.init(jax.random.key(_UNTRAINED_SEED), model.config, model.vocabulary.size)
    baseline = observe(model.config, untrained, ids, separator_id=separator_id)
    tracking = find_tracking(text, activity.tracks, baseline.tracks, patterns)
    ablation = ablate(model.config, model.params, ids, activity.tracks, separator_id)
    curves = {}
    for each in (model, *compared):
        ids = encode(each.vocabulary, drop_unknown(each.vocabulary, text))
        separator_id = each.vocabulary.separator_id
        curves[each.name] = look_back(each.config, each.params, ids, separator_id=separator_id)
    nats = {each.name: surprisal(each, text) for each in compared}
    return Inspection(text, activity, contributions, tracking, ablation, curves, nats)


def render(
    model: LanguageModel,
    inspection: Inspection,
    about: Mapping[str, str],
    seq_lens: Mapping[str, int] | None = None,
) -> Page:
    """Return the page, with activations as exact as 2 MB allow.

    Args:
        model: the model that was inspected.
        inspection: from `inspect`.
        about: Facts to show below the title, by label.
        seq_lens: The `seq_len` that each run was trained with, by the run's name, to mark it in the look-back curves.
    """
    payload = _payload(model, inspection, about, seq_lens or {})
    tracks = inspection.activity.tracks
    ranked: dict[int, list[int]] = {}
    for tracking in inspection.tracking:
        ranked.setdefault(tracking.layer, []).append(tracking.unit)
    empty = _document(model, {**payload, "tracks": _described(tracks, pack_tracks(tracks, ranked, 0)[1])})
    levels, packed = pack_tracks(tracks, ranked, max(0, _LARGEST - len(empty.encode())))
    return Page(_document(model, {**payload, "tracks": _described(tracks, packed)}), levels)


def _document(model: LanguageModel, payload: Mapping[str, Any]) -> str:
    data = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "title": html.escape(f"Inside {model.name}"),
        "css": _asset("page.css"),
        # In a script element nothing but "</script" and "<!--" has a meaning; without "<" there is neither.
        "data": data.replace("<", "\\u003c"),
        "js": "".join(map(_asset, _SCRIPTS)),
    }
    page = _asset("page.html").replace("character", model.vocabulary.unit)
    before, *rest = page.split("@@")  # names stand between pairs of @@: @@title@@
    return before + "".join(parts[part] if index % 2 == 0 else part for index, part in enumerate(rest))


def _described(tracks: Sequence[Track], packed: Sequence[Packed]) -> list[dict[str, Any]]:
    return [
        {"layer": track.layer, "kind": track.kind, **data._asdict()}
        for track, data in zip(tracks, packed, strict=True)
    ]


def _asset(name: str) -> str:
    return resources.files("jaxrnn.inspection").joinpath(name).read_text(encoding="utf-8")


def _payload(
    model: LanguageModel, inspection: Inspection, about: Mapping[str, str], seq_lens: Mapping[str, int]
) -> dict[str, Any]:
    """Return what the page shows, except the tracks."""
    activity = inspection.activity
    return {
        "name": model.name,
        "about": list(about.items()),
        # A byte is written as the character of its number.
        "text": inspection.text if isinstance(inspection.text, str) else inspection.text.decode("latin-1"),
        "token": model.vocabulary.unit,
        "vocabulary": model.vocabulary.characters,
        "nats": _rounded(activity.nll, 3),
        "ranks": activity.ranks.tolist(),
        "likeliest": activity.likeliest.tolist(),
        "probabilities": [_significant(each) for each in activity.probabilities],
        "saliency": _pack_saliency(inspection.saliency),
        "kinds": {track.kind: NAMES.get(track.kind, track.kind) for track in activity.tracks},
        "layers": {
            index: layer_name(model.config, index) for index in {track.layer for track in activity.tracks}
        },
        "tracking": [tracking._asdict() for tracking in inspection.tracking],
        "ablation": [{**each._asdict(), "costs": _significant(each.costs)} for each in inspection.ablation],
        "saturation": [
            {"layer": track.layer, "kind": track.kind, "shut": _rounded(shut, 3), "open": _rounded(open_, 3)}
            for track in activity.tracks
            if track.kind in GATES
            for shut, open_ in [saturation(track.values)]
        ],
        "curves": [
            {"run": name, "layer": curve.layer, "field": curve.field, "norms": _significant(curve.norms)}
            for name, curves in inspection.curves.items()
            for curve in curves
        ],
        "compared": [
            {"run": name, "nats": [None if np.isnan(each) else round(float(each), 3) for each in nats]}
            for name, nats in inspection.compared.items()
        ],
        "seqLens": {name: seq_lens[name] for name in inspection.curves if name in seq_lens},
    }


def layer_name(config: ModelConfig, index: int) -> str:
    """Return a layer as it is called in the config: "1: lstm", counted from 0."""
    layer = config.layers[index]
    cell = getattr(layer, "cell", None)
    return f"{index}: {layer.type}" + (f" ({cell})" if cell else "")


def _pack_saliency(contributions: np.ndarray) -> dict[str, Any]:
    """Pack `[characters, back]`, each row in units of its largest absolute value."""
    scales = np.array(_significant(np.maximum(np.abs(contributions).max(axis=1), 1e-6)))
    return {
        "back": contributions.shape[1],
        "scales": scales.tolist(),
        "levels": _SALIENCY_LEVELS,
        "per_byte": levels_per_byte(_SALIENCY_LEVELS),
        "data": pack(contributions.T / scales, -1.0, 1.0, _SALIENCY_LEVELS),
    }


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()


def _significant(values: np.ndarray) -> list[float]:
    return [float(f"{value:.3g}") for value in values]
