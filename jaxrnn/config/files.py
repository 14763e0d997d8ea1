"""A config from a TOML file and back."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxrnn.config.fields import FieldError, show
from jaxrnn.config.overrides import Overrides, apply_overrides
from jaxrnn.config.reading import read_config, to_tables
from jaxrnn.config.schema import FINETUNE, Config, RNNBlockConfig
from jaxrnn.config.shipped import find_config
from jaxrnn.config.toml import format_toml, parse_toml, printable, read_text
from jaxrnn.errors import ConfigError


def load_config(config: str | Path | Config, overrides: Overrides = ()) -> Config:
    """Load a config: a TOML file, or one that comes with jaxrnn.

    Args:
        config: the file, in UTF-8; or the name of a shipped config, such as `shakespeare`; or a `Config`.
        overrides: values that replace the config's: `["train.steps=10"]`, or
            `{"train.steps": 10, "model.layers.1.size": 256}`.

    Raises:
        ConfigError: The file can't be read, or it or an override holds what can't be meant.
    """
    if isinstance(config, Config):
        return parse_config(dump_config(config), "the config", overrides) if overrides else config
    path = find_config(config)
    return parse_config(read_text(path), str(path), overrides)


def load_finetune_config(config: str | Path | None, base: Config, overrides: Overrides = ()) -> Config:
    """Return the config of a run that is fine-tuned from another.

    The layers and tokens are those of that run, and so are its separator and what `[sample]` does not say. What
    `[train]` does not say has the values of `FINETUNE`, gentler than those of a training run from nothing.

    Args:
        config: a TOML file, or the name of a shipped config; None for no file at all.
        base: The config of the run that is gone on from.
        overrides: Values that replace the file's.

    Raises:
        ConfigError: If what is given is not accepted, has other layers or tokens than the run, or names no text.
    """
    path = None if config is None else find_config(config)
    source = str(path) if path else "fine-tuning"
    tables = to_tables(base)
    corpus = {"tokens": base.corpus.tokens, "separator": base.corpus.separator}
    defaults = {"corpus": corpus, "model": tables["model"], "sample": tables["sample"], "train": FINETUNE}
    return _parse(read_text(path) if path else "", source, overrides, defaults, base)


def parse_config(text: str, source: str, overrides: Overrides = ()) -> Config:
    """The config in a TOML text; `source` names it in messages.

    Raises:
        ConfigError: If the text or an override is not accepted.
    """
    return _parse(text, source, overrides, {})


def _parse(
    text: str,
    source: str,
    overrides: Overrides,
    defaults: Mapping[str, Mapping[str, Any]],
    base: Config | None = None,
) -> Config:
    """The config of a run, or with a `base`, of a fine-tuning of one."""
    source = printable(source)
    tables = parse_toml(text, source)
    for section, values in defaults.items():
        given_there = tables.get(section, {})
        if isinstance(given_there, dict):  # if not, reading will say so
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
            f"{source}: there is no text to learn; give --corpus TEXT, or [corpus] text in a config"
        )
    return config


def _check_tokens_are_of(config: Config, base: Config) -> None:
    """Refuses bytes where a run has characters, and the other way round.

    Raises:
        FieldError: It is so.
    """
    here, there = config.corpus.tokens, base.corpus.tokens
    if here != there:
        problem = f"the run's tokens are {there}, and what it has learned of them says nothing of {here}; leave it out"
        raise FieldError("corpus.tokens", f"{problem}, or train a new run", here)


def _check_layers_are_of(config: Config, base: Config) -> None:
    """Refuses other layers than a run has.

    Raises:
        FieldError: It names the first layer that differs. There is one, for what differs in length differs before
            the end: only the last layer can be a dense without a size.
    """
    tables = to_tables(base)["model"]["layers"]
    for index, (layer, there) in enumerate(zip(config.model.layers, base.model.layers, strict=False)):
        # The size of a block is that of its input, given or not.
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
        problem = f"in the run, model.layers[{index}] is {{ {shown} }}, and that is kept; leave [model] out"
        raise FieldError(f"model.layers[{index}].{key}", problem)


def _explain(error: FieldError, source: str, given: dict[str, str]) -> str:
    """The error in one line that blames the file, or the override that brought the value in."""
    for key, shown in sorted(given.items(), reverse=True):  # a layer's key before the whole list's
        if error.key.startswith(key) and error.key[len(key) : len(key) + 1] in ("", ".", "["):
            return f"{shown}: {error.problem}"
    section = error.key.partition(".")[0]
    also = [shown for key, shown in given.items() if key.startswith(f"{section}.")]
    return f"{source}{' with ' if also else ''}{' '.join(also)}: {error}"


def dump_config(config: Config) -> str:
    """The config as TOML, every value spelled out; `parse_config` gives the same config back."""
    return format_toml(to_tables(config))
