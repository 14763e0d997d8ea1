"""A config from a TOML file and back."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jaxrnn.config.fields import FieldError
from jaxrnn.config.overrides import apply_override
from jaxrnn.config.reading import read_config, to_tables
from jaxrnn.config.schema import FINETUNE, Config, LayerConfig
from jaxrnn.config.toml import format_toml, parse_toml, printable, read_text, shortened
from jaxrnn.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML file.

    Args:
        path: The file, in UTF-8.
        overrides: Values that replace the file's, such as `train.steps=10` or `model.layers.1.size=256`.

    Raises:
        ConfigError: If the file can't be read, or it or an override holds what can't be meant.
    """
    return parse_config(read_text(path), str(path), overrides)


def load_finetune_config(path: Path | None, base: Config, overrides: Sequence[str] = ()) -> Config:
    """The config of a training that goes on from another run's parameters.

    The layers are those of that run, and so is what `[sample]` does not say. What `[train]` does not say has the
    values of `FINETUNE`, gentler than those of a training from nothing.

    Args:
        path: A TOML file; None for no file at all.
        base: The config of the run that is gone on from.
        overrides: Values that replace the file's.

    Raises:
        ConfigError: If what is given is not accepted, has other layers than the run, or names no text.
    """
    source = str(path) if path else "fine-tuning"
    tables = to_tables(base)
    defaults = {"model": tables["model"], "sample": tables["sample"], "train": FINETUNE}
    config = _parse(read_text(path) if path else "", source, overrides, defaults, needs_text=True)
    for index, (wanted, there) in enumerate(zip_longest(config.model.layers, base.model.layers)):
        if wanted != there:
            raise ConfigError(
                f"{source}: model.layers[{index}] is {_name(wanted)}, but {_name(there)} in the run; its layers are "
                "fine-tuned as they are: leave [model] out"
            )
    return config


def _name(layer: LayerConfig | None) -> str:
    return repr(layer) if layer else "missing"


def parse_config(text: str, source: str, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML text; `source` names it in messages.

    Raises:
        ConfigError: If the text or an override is not accepted.
    """
    return _parse(text, source, overrides, {})


def _parse(
    text: str,
    source: str,
    overrides: Sequence[str],
    defaults: Mapping[str, Mapping[str, Any]],
    *,
    needs_text: bool = False,
) -> Config:
    source = printable(source)
    tables = parse_toml(text, source)
    for section, values in defaults.items():
        given_there = tables.get(section, {})
        if isinstance(given_there, dict):  # if not, reading will say so
            tables[section] = {**values, **given_there}
    given: dict[str, str] = {}  # an override as a message shows it, by the key it sets
    for override in overrides:
        shown = f"--set {shortened(printable(override))}"
        try:
            given[apply_override(tables, override)] = shown
        except FieldError as error:
            raise ConfigError(f"{shown}: {error.problem}") from None
    if needs_text and "text" not in tables.get("corpus", {}):
        raise ConfigError(
            f"{source}: there is no text to learn; give --corpus TEXT, or [corpus] text in a config"
        )
    try:
        return read_config(tables)
    except FieldError as error:
        raise ConfigError(_explain(error, source, given)) from None


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
