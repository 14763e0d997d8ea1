"""JSON from strangers: read strictly, within limits, with errors of one line."""

import json
import math
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrnn.data.texts import shown
from jaxrnn.disk import reason
from jaxrnn.errors import InterchangeError

Floats = NDArray[np.float32]

_MOST_AXES = 4
_MOST_VALUES = 20_000_000  # of a text; Python needs some 30 bytes for a number,
_MOST_LISTS = 2_000_000  # and some 100 for a list or an object
_LARGEST = float(np.finfo(np.float32).max)


def check_file(path: Path, what: str) -> None:
    """Makes sure that a path names a file that can be read to its end: a pipe would be waited for.

    Raises:
        InterchangeError: It does not; the message asks for `what`.
    """
    if path.is_file():
        return
    found = "a directory" if path.is_dir() else "no regular file" if path.exists() else "no such file"
    raise InterchangeError(f"{shown(str(path))}: {found}; give {what}")


def read_file(path: Path, limit: int, what: str) -> bytes:
    """Returns what a file holds.

    Raises:
        InterchangeError: It is missing, can't be read, or has more than `limit` bytes, which no `what` has.
    """
    check_file(path, what)
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InterchangeError(f"{shown(str(path))}: can't be read: {reason(error)}") from None
    if len(data) > limit:
        raise InterchangeError(
            f"{shown(str(path))}: has more than {limit:,} bytes, the most that {what} may have"
        )
    return data


def parse_json(data: bytes, source: str) -> Any:
    """Returns the value of a JSON text in UTF-8.

    Stricter than Python: no key twice, no NaN, no infinity.

    Args:
        data: the text.
        source: what messages call it.

    Raises:
        InterchangeError: It is none, or nested too deeply, or has a number of thousands of digits, or more values than
            a model can have (counted before they are made).
    """
    if data.count(b",") > _MOST_VALUES or data.count(b"[") + data.count(b"{") > _MOST_LISTS:
        raise InterchangeError(
            f"{source}: has more than {_MOST_VALUES:,} values, or {_MOST_LISTS:,} lists, the most that are read"
        )
    try:
        return json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_without_twins, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise InterchangeError(f"{source}: not what it should be: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InterchangeError(f"{source}: not JSON: byte {error.start:,} is not UTF-8") from None
    except ValueError as error:
        raise InterchangeError(f"{source}: not JSON: {error}") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        (twin, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {show(twin)} is given twice")
    return made


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def show(value: object, most: int = 60) -> str:
    """Returns a value as a message shows it: on one line, cut where it is long."""
    text = ascii(value[: most + 1]) if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def to_array(value: object, what: str) -> Floats:
    """Returns nested lists of numbers as an array of float32.

    Raises:
        InterchangeError: They are not all of one length, not numbers, not finite, or nested more than four deep.
    """
    shape, level = [], value
    while isinstance(level, list):
        shape.append(len(level))
        if not level or len(shape) > _MOST_AXES:
            raise InterchangeError(f"{what} has {'an empty list' if not level else 'too many axes'}")
        level = level[0]
    if not shape:
        raise InterchangeError(f"{what} must be a list of numbers, not {show(value)}")
    flat: list[Any] = value if isinstance(value, list) else []
    for size in shape[1:]:
        if any(type(row) is not list or len(row) != size for row in flat):
            raise InterchangeError(f"{what} has rows of different lengths")
        flat = [number for row in flat for number in row]
    for number in flat:
        if type(number) is not float and type(number) is not int:  # true is no number
            found = "rows of different lengths" if isinstance(number, list) else show(number)
            raise InterchangeError(f"{what} has {found} among its numbers")
        if not -_LARGEST <= number <= _LARGEST or math.isnan(number):
            raise InterchangeError(f"{what} has {show(number)}, which float32 can't hold")
    return np.array(flat, np.float32).reshape(shape)
