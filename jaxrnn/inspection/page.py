"""One HTML file that shows the activations of a model on a text: no network, no other file.

This module computes the numbers and embeds them as JSON; `page.js` draws them. The text and all names come from users:
they are passed only as JSON, with every `<` escaped, and inserted into the page as text, never as HTML.
"""

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Text, drop_unknown, encode
from jaxrnn.inspection.activity import GATES, NAMES, STATES, Activity, Track, observe, saturation
from jaxrnn.inspection.lookback import LookBack, look_back
from jaxrnn.inspection.packing import levels_per_byte, pack
from jaxrnn.inspection.readable import Tracking, find_tracking
from jaxrnn.models.language_model import LanguageModel

# Numbers of shades for states and for gates, finest first; the first pair that fits the budget is used. A value on the
# page is then a range, as wide as its shade.
_SHADES = ((255, 255), (15, 15), (9, 9), (9, 5), (9, 3), (5, 3), (3, 3))
_BUDGET = 1_700_000  # characters of base64, so that a page stays under 2 MB
_EVERY = 8  # of the units, one in so many is packed to find out


class Inspection(NamedTuple):
    """The content of the page."""

    text: Text
    activity: Activity
    tracking: list[Tracking]
    curves: dict[str, tuple[LookBack, ...]]  # by the name of the run, the inspected one first


def inspect(model: LanguageModel, text: Text, compared: Sequence[LanguageModel] = ()) -> Inspection:
    """Read a text with a model and find out what its units do.

    Args:
        model: the model that reads.
        text: one character at least, all of them in its vocabulary; `bytes` for a model of bytes.
        compared: other models of the same kind of token, for which it is measured how far back they look; each reads
            the text without the characters that it does not know.

    Raises:
        VocabularyError: the model does not know a character of the text.
        ValueError: the text is empty.
    """
    if not text:
        raise ValueError("an empty text shows nothing")
    ids, separator_id = encode(model.vocabulary, text), model.vocabulary.separator_id
    activity = observe(model.config, model.params, ids, separator_id=separator_id)
    curves = {}
    for each in (model, *compared):
        ids = encode(each.vocabulary, drop_unknown(each.vocabulary, text))
        separator_id = each.vocabulary.separator_id
        curves[each.name] = look_back(each.config, each.params, ids, separator_id=separator_id)
    return Inspection(text, activity, find_tracking(text, activity.tracks), curves)


def render(model: LanguageModel, inspection: Inspection, about: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        model: the model that was inspected.
        inspection: from `inspect`.
        about: Facts to show below the title, by label.

    Returns:
        An HTML document that needs nothing else.
    """
    data = json.dumps(
        _payload(model, inspection, about), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    parts = {
        "title": html.escape(f"Inside {model.name}"),
        "css": _asset("page.css"),
        # In a script element nothing but "</script" and "<!--" has a meaning; without "<" there is neither.
        "data": data.replace("<", "\\u003c"),
        "js": _asset("page.js"),
    }
    page = _asset("page.html").replace("character", model.vocabulary.unit)
    before, *rest = page.split("@@")  # names stand between pairs of @@: @@title@@
    return before + "".join(parts[part] if index % 2 == 0 else part for index, part in enumerate(rest))


def _asset(name: str) -> str:
    return resources.files("jaxrnn.inspection").joinpath(name).read_text(encoding="utf-8")


def _payload(model: LanguageModel, inspection: Inspection, about: Mapping[str, str]) -> dict[str, Any]:
    activity = inspection.activity
    shades = _choose_shades(activity.tracks)
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
        "probabilities": _rounded(activity.probabilities, 4),
        "kinds": {track.kind: NAMES.get(track.kind, track.kind) for track in activity.tracks},
        "layers": {
            index: layer_name(model.config, index) for index in {track.layer for track in activity.tracks}
        },
        "tracks": [_pack_track(track, shades) for track in activity.tracks],
        "tracking": [tracking._asdict() for tracking in inspection.tracking],
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
    }


def layer_name(config: ModelConfig, index: int) -> str:
    """Return a layer as it is called in the config: "1: lstm", counted from 0."""
    layer = config.layers[index]
    cell = getattr(layer, "cell", None)
    return f"{index}: {layer.type}" + (f" ({cell})" if cell else "")


def _choose_shades(tracks: Sequence[Track]) -> tuple[int, int]:
    for shades in _SHADES:
        few = (track._replace(values=track.values[:, ::_EVERY]) for track in tracks)
        if sum(len(_pack_track(track, shades)["data"]) for track in few) * _EVERY <= _BUDGET:
            break
    return shades


def _pack_track(track: Track, shades: tuple[int, int]) -> dict[str, Any]:
    """Return the values of a track, in units of `scales`: of a state, which may be large, each unit's own largest."""
    is_state = track.kind in STATES
    largest = np.abs(track.values).max(axis=0) if is_state else np.ones(track.values.shape[1])
    scales = np.array(_significant(np.maximum(largest, 1e-6)))
    low = 0.0 if track.kind in GATES else -1.0
    levels = shades[not is_state]
    return {
        "layer": track.layer,
        "kind": track.kind,
        "low": low,
        "scales": scales.tolist(),
        "levels": levels,
        "perByte": levels_per_byte(levels),
        "data": pack(track.values / scales, low, 1.0, levels),
    }


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()


def _significant(values: np.ndarray) -> list[float]:
    return [float(f"{value:.3g}") for value in values]
