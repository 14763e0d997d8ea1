"""Conversion of parsed TOML tables to a config, with strict validation, and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from jaxrnn.config.fields import FieldError, fields_of, normalised, read_record, refuse_unknown
from jaxrnn.config.model import LAYER_TYPES, LayerConfig, ModelConfig, ResidualConfig
from jaxrnn.config.schema import Config, CorpusConfig, SampleConfig, TrainConfig
from jaxrnn.errors import did_you_mean

# The sections whose values are scalars; [model] is read separately.
FLAT_SECTIONS: dict[str, type[CorpusConfig] | type[TrainConfig] | type[SampleConfig]] = {
    "corpus": CorpusConfig,
    "train": TrainConfig,
    "sample": SampleConfig,
}
SECTIONS = tuple(field.name for field in fields(Config))
PATHS = {key: f"{name}.{key}" for name, record in FLAT_SECTIONS.items() for key in fields_of(record)}
MODEL_KEYS = tuple(field.name for field in fields(ModelConfig))
PATHS |= {key: f"model.{key}" for key in MODEL_KEYS}
_MISSING = object()
_EXAMPLE = '{ type = "lstm", size = 192 }'


def read_config(tables: Mapping[str, Any]) -> Config:
    """Return the config of parsed TOML tables.

    Raises:
        FieldError: A section, key or value is not accepted; its `key` is the whole path.
    """
    refuse_unknown(tables, SECTIONS, "a config", elsewhere=PATHS)
    made: dict[str, Any] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise FieldError(name, f"must be a section, begun by the line [{name}]", table)
        try:
            made[name] = _read_section(name, table)
        except FieldError as error:
            raise error.under(name) from None
    return Config(**made)


def _read_section(name: str, table: Mapping[str, Any]) -> Any:
    if name == "model":
        return _read_model(table)
    record = FLAT_SECTIONS[name]
    refuse_unknown(table, fields_of(record), f"[{name}]", elsewhere=PATHS)
    return read_record(record, table, f"[{name}]")


def _read_model(table: Mapping[str, Any]) -> ModelConfig:
    refuse_unknown(table, MODEL_KEYS, "[model]", elsewhere=PATHS)
    layers = table.get("layers")
    if layers is None:
        return ModelConfig()
    return ModelConfig(layers=_read_layers(layers))


def _read_layers(layers: object) -> tuple[LayerConfig, ...]:
    if not isinstance(layers, list):
        raise FieldError("layers", f"must be a list of tables like {_EXAMPLE}", layers)
    made = []
    for index, layer in enumerate(layers):
        try:
            made.append(_read_layer(layer))
        except FieldError as error:
            raise error.under(f"layers[{index}]") from None
    return tuple(made)


def _read_layer(table: object) -> LayerConfig:
    if not isinstance(table, dict):
        raise FieldError("", f"must be a table like {_EXAMPLE}", table)
    record = layer_type(table)
    called = f"a layer of type {record.type}"
    values = {key: value for key, value in table.items() if key != "type"}
    refuse_unknown(values, ["type", *fields_of(record)], called)
    if record is ResidualConfig and "layers" in values:
        values["layers"] = _read_layers(values["layers"])
    return read_record(record, values, called)


def layer_type(table: Mapping[str, object]) -> type[LayerConfig]:
    """Return the config class that a table's `type` names.

    Raises:
        FieldError: No layer has this type.
    """
    allowed = f"must be one of {', '.join(LAYER_TYPES)}"
    match table.get("type", _MISSING):
        case str(name) if name in LAYER_TYPES:
            return LAYER_TYPES[name]
        case str(name):
            raise FieldError("type", allowed + did_you_mean(normalised(name), LAYER_TYPES), name)
        case other if other is _MISSING:
            raise FieldError("type", f"is missing; it {allowed}")
        case other:
            raise FieldError("type", allowed, other)


def to_tables(config: Config) -> dict[str, dict[str, Any]]:
    """Return a config as TOML tables with every value, except options of layers that are off by default."""

    def table(layer: LayerConfig) -> dict[str, Any]:
        if isinstance(layer, ResidualConfig):
            return {"type": layer.type, "layers": [table(inner) for inner in layer.layers]}
        named = [(field, getattr(layer, field.name)) for field in fields(layer)]
        return {"type": layer.type} | {f.name: value for f, value in named if value or value != f.default}

    tables = asdict(config)
    tables["model"]["layers"] = [table(layer) for layer in config.model.layers]
    return tables
