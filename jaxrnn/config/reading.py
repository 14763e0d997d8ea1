"""A config from TOML and back; what can't be meant is refused by file, key, value and what is allowed."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxrnn.config.fields import FieldError, nearest, read_record, show, unknown_key
from jaxrnn.config.schema import (
    LAYER_TYPES,
    Config,
    CorpusConfig,
    LayerConfig,
    ModelConfig,
    SampleConfig,
    TrainConfig,
)
from jaxrnn.config.toml import format_toml, parse_toml, printable, read_text, toml_string
from jaxrnn.errors import ConfigError

_SECTIONS: dict[str, type[CorpusConfig] | type[TrainConfig] | type[SampleConfig]] = {
    "corpus": CorpusConfig,
    "train": TrainConfig,
    "sample": SampleConfig,
}


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML file.

    Args:
        path: The file, in UTF-8.
        overrides: Values that replace the file's, such as `train.steps=10` or `model.layers.1.size=256`.

    Raises:
        ConfigError: If the file can't be read, or holds what can't be meant.
    """
    return parse_config(read_text(path), printable(str(path)), overrides)


def parse_config(text: str, source: str, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML text; `source` names it in messages.

    Raises:
        ConfigError: If the text or an override is not accepted.
    """
    del overrides  # read in the next commit
    try:
        return _read_config(parse_toml(text, source))
    except FieldError as error:
        raise ConfigError(f"{source}: {error}") from None


def dump_config(config: Config) -> str:
    """The config as TOML, every value spelled out; `parse_config` gives the same config back."""
    tables = asdict(config)
    tables["model"] = {"layers": [{"type": layer.type, **asdict(layer)} for layer in config.model.layers]}
    return format_toml(tables)


def _read_config(tables: dict[str, Any]) -> Config:
    sections = asdict(Config())
    for name, table in tables.items():
        if name not in sections:
            raise unknown_key(name, sections, "a config")
        if not isinstance(table, dict):
            raise FieldError(name, f"must be a section, written [{name}]", table)
    made: dict[str, Any] = {"model": _read_model(tables.get("model", {}))}
    for name, record in _SECTIONS.items():
        try:
            made[name] = read_record(record, tables.get(name, {}), called=f"[{name}]")
        except FieldError as error:
            raise error.under(name) from None
    return Config(**made)


def _read_model(table: dict[str, Any]) -> ModelConfig:
    try:
        for key in table:
            if key != "layers":
                raise unknown_key(key, ["layers"], "[model]")
        if "layers" not in table:
            return ModelConfig()
        if not isinstance(table["layers"], list):
            raise FieldError(
                "layers", 'must be a list of tables like { type = "lstm", size = 192 }', table["layers"]
            )
        return ModelConfig(layers=tuple(_read_layer(i, layer) for i, layer in enumerate(table["layers"])))
    except FieldError as error:
        raise error.under("model") from None


def _read_layer(index: int, table: object) -> LayerConfig:
    here = f"layers[{index}]"
    if not isinstance(table, dict):
        raise FieldError(here, 'must be a table like { type = "lstm", size = 192 }', table)
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in LAYER_TYPES:
        guess = nearest(kind, LAYER_TYPES) if isinstance(kind, str) else None
        hint = f"; did you mean {toml_string(guess)}?" if guess else ""
        has = f"is {show(kind)}" if "type" in table else "is missing"
        raise FieldError(f"{here}.type", f"{has}: must be one of {', '.join(LAYER_TYPES)}{hint}")
    try:
        return read_record(LAYER_TYPES[kind], table, called=kind, also="type")
    except FieldError as error:
        raise error.under(here) from None
