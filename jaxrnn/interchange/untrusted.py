"""Untrusted files: read within limits, and refused in one line that names them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrnn.config import ModelConfig
from jaxrnn.config.fields import FieldError
from jaxrnn.config.model import MAX_LAYERS
from jaxrnn.config.reading import read_config
from jaxrnn.config.toml import printable
from jaxrnn.data.texts import shown
from jaxrnn.disk import reason
from jaxrnn.errors import InterchangeError

_MOST_VALUES = 20_000_000  # Python needs some 30 bytes for a number,
_MOST_LISTS = 2_000_000  # and some 100 for a list or an object
_LONGEST = 600  # characters of a message


@contextlib.contextmanager
def about(source: str) -> Iterator[None]:
    """Prefix an error message with `source`, on one line of bounded length.

    Raises:
        InterchangeError: Something was refused in the context, or its values are nested too deeply.
    """
    try:
        yield
    except RecursionError:
        raise InterchangeError(f"{source}: nested too deeply") from None
    except (FieldError, InterchangeError) as error:
        raise InterchangeError(f"{source}: {printable(str(error)[:_LONGEST])}") from None


def check_file(path: Path, what: str) -> None:
    """Check that a path names a regular file, which can be read to its end: reading a pipe would block.

    Raises:
        InterchangeError: It does not; the message asks for `what`.
    """
    if not path.is_file():
        found = "a directory" if path.is_dir() else "no regular file" if path.exists() else "no such file"
        raise InterchangeError(f"{shown(str(path))}: {found}; give {what}")


def check_count(layers: object) -> None:
    """Refuse a list of more layers than a model can have, before they are read one by one.

    Raises:
        InterchangeError: It is such a list.
    """
    if isinstance(layers, list) and len(layers) > MAX_LAYERS:
        raise InterchangeError(f"has {len(layers):,} layers; at most {MAX_LAYERS:,} are possible")


def read_chain(layers: list[dict[str, Any]], vocabulary_size: int, last: str) -> ModelConfig:
    """Return the config of layers that all have a size; a dense one at the end must have an output for each character.

    Raises:
        FieldError: No config can have such layers.
        InterchangeError: The last layer, which messages call `last`, has another number of outputs.
    """
    *before, end = layers
    if end["type"] == "dense":
        if end["size"] != vocabulary_size:
            problem = f"gives {end['size']:,} numbers, but there are {vocabulary_size:,} characters"
            raise InterchangeError(f"{last} {problem}")
        end = {"type": "dense"}
    return read_config({"model": {"layers": [*before, end]}}).model


def read_start(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a file, or all of a shorter one.

    Raises:
        InterchangeError: It can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise InterchangeError(f"can't be read: {reason(error)}") from None


def read_json(path: Path, limit: int) -> Any:
    """Return the value of a JSON file of at most `limit` bytes (`parse_json`)."""
    data = read_start(path, limit + 1)
    if len(data) > limit:
        raise InterchangeError(f"has more than {limit:,} bytes, the most that are read")
    return parse_json(data)


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text; no object may have a key twice.

    Raises:
        InterchangeError: It is not JSON, or has more values than a model can have (counted before they are made).
        RecursionError: It is nested too deeply; `about` reports that.
    """
    if data.count(b",") > _MOST_VALUES or data.count(b"[") + data.count(b"{") > _MOST_LISTS:
        limits = f"{_MOST_VALUES:,} values or {_MOST_LISTS:,} lists"
        raise InterchangeError(f"has more than {limits}, the most that are read")
    try:
        return json.loads(data, object_pairs_hook=_without_twins)
    except ValueError as error:
        raise InterchangeError(f"not JSON: {error}") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} is given twice")
        made[key] = value
    return made
