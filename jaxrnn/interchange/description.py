"""What is said of a model beside its numbers, as JSON: enough to use them without this program."""

import json
from typing import Any

import jaxrnn
from jaxrnn.config import Config, ModelConfig
from jaxrnn.config.reading import to_tables
from jaxrnn.models.language_model import LanguageModel

KIND = "jaxrnn model"
FORMAT_VERSION = 1


def describe(trained: LanguageModel) -> dict[str, Any]:
    """Returns what a program needs to know of a model, as JSON has it.

    Keys: `format` and `format_version`; `jaxrnn_version`, that wrote it; `name`, of the run; `layers`, as in a config;
    `vocabulary`, with `characters` in the order of their ids and `tokens`, what one is; `separator`, the character, of
    these, before which the state is emptied, or None.
    """
    characters, tokens = trained.vocabulary
    reset_id = trained.config.reset_id
    return {
        "format": KIND,
        "format_version": FORMAT_VERSION,
        "jaxrnn_version": jaxrnn.__version__,
        "name": trained.name,
        "layers": describe_layers(trained.config),
        "vocabulary": {"characters": characters, "tokens": tokens},
        "separator": None if reset_id is None else characters[reset_id],
    }


def describe_layers(config: ModelConfig) -> list[dict[str, Any]]:
    """Returns the layers as a config lists them."""
    layers: list[dict[str, Any]] = to_tables(Config(model=config))["model"]["layers"]
    return [{key: value for key, value in layer.items() if value is not None} for layer in layers]


def to_json(description: dict[str, Any]) -> str:
    """Returns a description as JSON text, in ASCII, so that no editor or encoding can change it."""
    return json.dumps(description, indent=2) + "\n"
