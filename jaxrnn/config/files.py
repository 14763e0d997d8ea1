"""A config from a TOML file and back."""

from collections.abc import Sequence
from pathlib import Path

from jaxrnn.config.fields import FieldError
from jaxrnn.config.overrides import apply_override
from jaxrnn.config.reading import read_config, to_tables
from jaxrnn.config.schema import Config
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


def parse_config(text: str, source: str, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML text; `source` names it in messages.

    Raises:
        ConfigError: If the text or an override is not accepted.
    """
    source = printable(source)
    tables = parse_toml(text, source)
    given: dict[str, str] = {}  # an override as a message shows it, by the key it sets
    for override in overrides:
        shown = f"--set {shortened(printable(override))}"
        try:
            given[apply_override(tables, override)] = shown
        except FieldError as error:
            raise ConfigError(f"{shown}: {error.problem}") from None
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
