"""Loading of a config from TOML, and writing it as TOML."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxrnn.config.fields import FieldError, show
from jaxrnn.config.model import RNNBlockConfig
from jaxrnn.config.overrides import Overrides, apply_overrides
from jaxrnn.config.reading import read_config, to_tables
from jaxrnn.config.schema import FINETUNE, Config
from jaxrnn.config.shipped import find_config
from jaxrnn.config.toml import format_toml, parse_toml, printable, read_text
from jaxrnn.errors import ConfigError


def load_config(config: str | Path | Config, overrides: Overrides = ()) -> Config:
    """Load a config: a TOML file, or one that comes with jaxrnn.

    Args:
        config: A TOML file in UTF-8; or the name of a shipped config, such as `shakespeare`; or a `Config`.
        overrides: Values that replace the config's: `["train.steps=10"]`, or
            `{"train.steps": 10, "model.layers.1.size": 256}`.

    Raises:
        ConfigError: The file can't be read, or a key or value is invalid.
    """
    if isinstance(config, Config):
        return parse_config(dump_config(config), "the config", overrides) if overrides else config
    path = find_config(config)
    return parse_config(read_text(path), str(path), overrides)


def load_finetune_config(config: str | Path | None, base: Config, overrides: Overrides = ()) -> Config:
    """Return the config of a run that is fine-tuned from another run.

    Layers, tokens, separator and the defaults of `[sample]` are those of the base run. The defaults of `[train]` are in
    `FINETUNE`: fewer steps and a lower learning rate than for pretraining.

    Args:
        config: A TOML file, or the name of a shipped config; None: no file.
        base: The config of the base run.
        overrides: Values that replace the file's.

    Raises:
        ConfigError: A key or value is invalid, layers or tokens differ from the base run's, or no corpus is named.
    """
    path = None if config is None else find_config(config)
    source = str(path) if path else "fine-tuning"
    tables = to_tables(base)
    corpus = {"tokens": base.corpus.tokens, "separator": base.corpus.separator}
    defaults = {"corpus": corpus, "model": tables["model"], "sample": tables["sample"], "train": FINETUNE}
    return _parse(read_text(path) if path else "", source, overrides, defaults, base)


def parse_config(text: str, source: str, overrides: Overrides = ()) -> Config:
    """Parse a config from a TOML string; `source` names it in messages.

    Raises:
        ConfigError: The TOML or an override is invalid.
    """
    return _parse(text, source, overrides, {})


def _parse(
    text: str,
    source: str,
    overrides: Overrides,
    defaults: Mapping[str, Mapping[str, Any]],
    base: Config | None = None,
) -> Config:
    """Parse the config of a pretraining run, or with `base`, of a fine-tuning run."""
    source = printable(source)
    tables = parse_toml(text, source)
    for section, values in defaults.items():
        given_there = tables.get(section, {})
        if isinstance(given_there, dict):  # if not, `read_config` raises
            tables[section] = {**values, **given_there}
    given = apply_overrides(tables, overrides)
    try:
        config = read_config(tables)
        if base is not None:
            _check_tokens_are_of(config, base)
            _check_layers_are_of(config, base)
    except FieldError as error:
        raise ConfigError(_explain(error, source, given)) from None
    if base is not None and "text" not in tables.get("corpus", {}):
        raise ConfigError(
            f"{source}: no corpus to train on; give --corpus TEXT, or [corpus] text in a config"
        )
    return config


def _check_tokens_are_of(config: Config, base: Config) -> None:
    """Check that the tokens are those of the base run.

    Raises:
        FieldError: One has characters, the other bytes.
    """
    here, there = config.corpus.tokens, base.corpus.tokens
    if here != there:
        problem = (
            f"the run's tokens are {there}, and its weights can't be used for {here}; leave this key out"
        )
        raise FieldError("corpus.tokens", f"{problem}, or train a new run", here)


def _check_layers_are_of(config: Config, base: Config) -> None:
    """Check that the layers are those of the base run.

    Stacks of different lengths differ before the end of the shorter one, because only a last layer can be a dense layer
    without a size.

    Raises:
        FieldError: A layer differs; the message names the first one.
    """
    tables = to_tables(base)["model"]["layers"]
    for index, (layer, there) in enumerate(zip(config.model.layers, base.model.layers, strict=False)):
        # The size of a block is always that of its input, whether it is given or not.
        is_same = layer == there or (
            isinstance(layer, RNNBlockConfig)
            and isinstance(there, RNNBlockConfig)
            and layer.cell == there.cell
        )
        if is_same:
            continue
        key = "type"
        if type(layer) is type(there):
            key = next(name for name, value in asdict(there).items() if getattr(layer, name) != value)
        shown = ", ".join(f"{name} = {show(value)}" for name, value in tables[index].items())
        problem = f"model.layers[{index}] of the run is {{ {shown} }} and can't change; leave [model] out"
        raise FieldError(f"model.layers[{index}].{key}", problem)


def _explain(error: FieldError, source: str, given: dict[str, str]) -> str:
    """Return the error in one line with its origin: the file, or the override that set the value."""
    for key, shown in sorted(given.items(), reverse=True):  # a layer's key before the whole list's
        if error.key.startswith(key) and error.key[len(key) : len(key) + 1] in ("", ".", "["):
            return f"{shown}: {error.problem}"
    section = error.key.partition(".")[0]
    also = [shown for key, shown in given.items() if key.startswith(f"{section}.")]
    return f"{source}{' with ' if also else ''}{' '.join(also)}: {error}"


def dump_config(config: Config) -> str:
    """Return the config as TOML with every value; `parse_config` is the inverse."""
    return format_toml(to_tables(config))
