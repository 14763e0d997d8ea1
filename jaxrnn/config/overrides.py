"""Values given as `KEY=VALUE`, put into TOML's tables before they are read."""

import re
from typing import Any

from jaxrnn.config.fields import Field, FieldError, fields_of, normalised, parse_text, refuse_unknown
from jaxrnn.config.reading import FLAT_SECTIONS, MODEL_KEYS, PATHS, SECTIONS, layer_type, to_tables
from jaxrnn.config.schema import Config
from jaxrnn.config.toml import parse_value
from jaxrnn.errors import ConfigError

# Which types a layer can have is checked when the tables are read.
_TYPE = Field("type", str, None, optional=False, required=True)


def apply_override(tables: dict[str, Any], override: str) -> str:
    """Puts a value into the tables, read as its key's type: `train.steps=10`, `model.layers.1.size=256`.

    Hyphens and underscores are alike, and strings need no quotes; in TOML's quotes, TOML's escapes hold.

    Args:
        tables: TOML's tables, changed in place.
        override: The key's path, an equals sign, and the value.

    Returns:
        The key's path as errors name it: `train.steps`, `model.layers[1].size`.

    Raises:
        FieldError: If there is no such key, or the value is none of its type.
    """
    key, equals, text = override.partition("=")
    if not equals:
        raise FieldError(key, "has no value; write KEY=VALUE, such as train.steps=100")
    section, *path = normalised(re.sub(r"\[(\d+)\]", r".\1", key)).split(".")
    refuse_unknown([section], SECTIONS, "a config", elsewhere=PATHS)
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        raise FieldError(section, f"[{section}] is not a section of the file")
    if section == "model":
        return _override_model(table, path, text)
    fields = fields_of(FLAT_SECTIONS[section])
    name = ".".join(path)
    if not name:
        raise FieldError(section, f"is a section; give one of its keys: {', '.join(fields)}")
    refuse_unknown([name], fields, f"[{section}]", elsewhere=PATHS)
    table[name] = parse_text(fields[name], text)
    return f"{section}.{name}"


def _override_model(table: dict[str, Any], path: list[str], text: str) -> str:
    match path:
        case ["layers"]:
            table["layers"] = _parse_list(text)
            return "model.layers"
        case ["layers", index, key]:
            return _override_layer(table, index, key, text)
    refuse_unknown(path[:1], MODEL_KEYS, "[model]", elsewhere=PATHS)
    raise FieldError("model.layers", "give one key of one layer, such as model.layers.1.size=256")


def _parse_list(text: str) -> Any:
    try:
        return parse_value(text)
    except ConfigError:
        raise FieldError("model.layers", 'must be a list in TOML, such as [{ type = "dense" }]') from None


def _override_layer(table: dict[str, Any], index: str, key: str, text: str) -> str:
    layers = table.setdefault("layers", to_tables(Config())["model"]["layers"])
    if not isinstance(layers, list):
        raise FieldError("model.layers", "model.layers is no list in the file")
    if index not in map(str, range(len(layers))):
        raise FieldError("model.layers", f"no such layer; the {len(layers)} layers are counted from 0")
    layer, here = layers[int(index)], f"model.layers[{index}]"
    if not isinstance(layer, dict):
        raise FieldError(here, f"{here} is no table in the file")
    if key == "type":
        fields = {"type": _TYPE}
    else:
        try:
            record = layer_type(layer)
        except FieldError as error:
            raise FieldError(here, str(error.under(here))) from None
        fields = {"type": _TYPE, **fields_of(record)}
        refuse_unknown([key], fields, f"a layer of type {record.type}")
    layer[key] = parse_text(fields[key], text)
    return f"{here}.{key}"
