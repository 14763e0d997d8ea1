"""Overrides of config values, given as `KEY=VALUE` or in a dict."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any, TypeAlias

from jaxrnn.config.fields import Field, FieldError, fields_of, normalised, parse_text, refuse_unknown, show
from jaxrnn.config.reading import FLAT_SECTIONS, MODEL_KEYS, PATHS, SECTIONS, layer_type, to_tables
from jaxrnn.config.schema import Config
from jaxrnn.config.toml import parse_value, printable, shortened
from jaxrnn.errors import ConfigError

# Any string: `jaxrnn.config.reading` checks it.
_TYPE = Field("type", str, None, optional=False, required=True)
_LAYERS = Field("layers", str, None, optional=False, required=False)  # a list of tables


Overrides: TypeAlias = Sequence[str] | Mapping[str, object]
"""Values that replace those of a config: `["train.steps=10"]`, or `{"train.steps": 10}`."""

_Read: TypeAlias = Callable[[Field], Any]  # returns the value in the type of its field


def apply_overrides(tables: dict[str, Any], overrides: Overrides) -> dict[str, str]:
    """Put overrides into parsed TOML tables: `train.steps=10`, `model.layers.1.size=256`.

    Text is parsed as the type of its key. Hyphens equal underscores. Strings need no quotes; quoted strings may have
    TOML's escapes. Values of a dict are used unchanged.

    Args:
        tables: The parsed TOML, changed in place.
        overrides: Values by key path.

    Returns:
        The text of each override for messages, by key path as `FieldError.key` has it: `train.steps`,
        `model.layers[1].size`.

    Raises:
        ConfigError: A key does not exist, or its value has another type.
    """
    if isinstance(overrides, Mapping):
        paths = (
            (key, str(value) if isinstance(value, PathLike) else value) for key, value in overrides.items()
        )
        given = [(str(key), value, f"{key} = {show(value)}") for key, value in paths]
    else:
        given = [(override, None, f"--set {shortened(printable(override))}") for override in overrides]
    shown: dict[str, str] = {}
    for key, value, as_shown in given:
        try:
            if isinstance(overrides, Mapping):
                path = _apply(tables, key, partial(_take, value))
            else:
                path = _apply_text(tables, key)
        except FieldError as error:
            raise ConfigError(f"{as_shown}: {error.problem}") from None
        shown[path] = as_shown
    return shown


def _take(value: Any, _field: Field) -> Any:
    return value


def _apply_text(tables: dict[str, Any], override: str) -> str:
    key, equals, text = override.partition("=")
    if not equals:
        raise FieldError(key, "has no value; write KEY=VALUE, such as train.steps=100")
    return _apply(tables, key, lambda field: _parse(field, text))


def _parse(field: Field, text: str) -> Any:
    if field is not _LAYERS:
        return parse_text(field, text)
    try:
        return parse_value(text)
    except ConfigError:
        raise FieldError("model.layers", 'must be a list in TOML, such as [{ type = "dense" }]') from None


def _apply(tables: dict[str, Any], key: str, read: _Read) -> str:
    """Put one value into the tables; return the key path as `FieldError.key` has it."""
    section, *path = normalised(re.sub(r"\[(\d+)\]", r".\1", key)).split(".")
    refuse_unknown([section], SECTIONS, "a config", elsewhere=PATHS)
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        raise FieldError(section, f"[{section}] is not a section of the file")
    if section == "model":
        return _apply_to_model(table, path, read)
    fields = fields_of(FLAT_SECTIONS[section])
    name = ".".join(path)
    if not name:
        raise FieldError(section, f"is a section; give one of its keys: {', '.join(fields)}")
    refuse_unknown([name], fields, f"[{section}]", elsewhere=PATHS)
    table[name] = read(fields[name])
    return f"{section}.{name}"


def _apply_to_model(table: dict[str, Any], path: list[str], read: _Read) -> str:
    match path:
        case ["layers"]:
            table["layers"] = read(_LAYERS)
            return "model.layers"
        case ["layers", index, key]:
            return _apply_to_layer(table, index, key, read)
    refuse_unknown(path[:1], MODEL_KEYS, "[model]", elsewhere=PATHS)
    raise FieldError("model.layers", "give one key of one layer, such as model.layers.1.size=256")


def _apply_to_layer(table: dict[str, Any], index: str, key: str, read: _Read) -> str:
    layers = table.setdefault("layers", to_tables(Config())["model"]["layers"])
    if not isinstance(layers, list):
        raise FieldError("model.layers", "model.layers in the file is not a list; correct the file")
    if index not in map(str, range(len(layers))):
        raise FieldError("model.layers", f"no such layer; the {len(layers)} layers are counted from 0")
    layer, here = layers[int(index)], f"model.layers[{index}]"
    if not isinstance(layer, dict):
        raise FieldError(here, f"{here} in the file is not a table; correct the file")
    if key == "type":
        fields = {"type": _TYPE}
    else:
        try:
            record = layer_type(layer)
        except FieldError as error:
            raise FieldError(here, str(error.under(here))) from None
        fields = {"type": _TYPE, **fields_of(record)}
        refuse_unknown([key], fields, f"a layer of type {record.type}")
    layer[key] = read(fields[key])
    return f"{here}.{key}"
