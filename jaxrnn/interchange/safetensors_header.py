"""The header of a safetensors file, checked before anything that it speaks of is read.

    8 bytes       N, the length of the header, little-endian
    N bytes       JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
    the rest      the numbers, by offsets from here, one after the other, without gaps

A file is data from a stranger: whatever is larger than a model of characters can be, or does not add up to the size of
the file, is refused while all that was read is this header.
"""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from jaxrnn.data.texts import shown
from jaxrnn.disk import reason
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.json_text import parse_json, show

MOST_BYTES = 8_000_000  # of the header; with 65,536 characters in it, it has about one million
MOST_NUMBERS = 1 << 30
_MOST_TENSORS = 10_000
_LONGEST_NAME = 256
_MOST_AXES = 8
_DTYPES = {"F32": 4, "F64": 8, "F16": 2, "BF16": 2}  # bytes of a number
_LENGTH = 8


class Header(NamedTuple):
    """What a file says of itself."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Reads and checks the header of a file; nothing else of it.

    Raises:
        InterchangeError: It can't be read, is cut short or damaged, has tensors of another type than floating point, or
            more numbers than a model of characters can have.
    """
    source = shown(str(path))
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(_LENGTH)
            length = int.from_bytes(start, "little")
            if len(start) < _LENGTH:
                raise InterchangeError(f"{source}: not a safetensors file: it has {size} bytes")
            if length > MOST_BYTES:
                raise InterchangeError(f"{source}: damaged: its header would have {length:,} bytes")
            if length > size - _LENGTH:
                raise InterchangeError(
                    f"{source}: cut short: its header ends after the file's {size:,} bytes"
                )
            text = file.read(length)
    except OSError as error:
        raise InterchangeError(f"{source}: can't be read: {reason(error)}") from None
    return _check(parse_json(text, f"{source}: damaged: its header"), size - _LENGTH - length, source)


def _check(entries: Any, size: int, source: str) -> Header:
    """The header, once every tensor has its place in the `size` bytes that follow it, and they are all taken."""
    if not isinstance(entries, dict):
        raise InterchangeError(f"{source}: damaged: its header is no JSON object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InterchangeError(f"{source}: damaged: its __metadata__ is no map of texts")
    if not 1 <= len(entries) <= _MOST_TENSORS:
        raise InterchangeError(
            f"{source}: has {len(entries):,} tensors; a model has 1 to {_MOST_TENSORS:,} of them"
        )
    shapes, places = {}, []
    for name, entry in entries.items():
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise InterchangeError(f"{source}: has a tensor whose name has {len(name):,} characters")
        shapes[name], place = _check_entry(entry, f"{source}: {show(name, _LONGEST_NAME)}")
        places.append(place)
    total = sum(map(math.prod, shapes.values()))
    if total > MOST_NUMBERS:
        raise InterchangeError(f"{source}: has {total:,} numbers; at most {MOST_NUMBERS:,} are read")
    end = 0
    for begin, after in sorted(places):
        if begin != end:
            raise InterchangeError(f"{source}: damaged: its tensors overlap or leave gaps")
        end = after
    if end != size:
        found = "cut short" if end > size else "damaged"
        raise InterchangeError(f"{source}: {found}: {size:,} bytes follow its header, not {end:,}")
    return Header(shapes, metadata)


def _check_entry(entry: Any, source: str) -> tuple[tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InterchangeError(f"{source} has not just dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise InterchangeError(f"{source} is of type {show(dtype)}; only {', '.join(_DTYPES)} can be weights")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(
            type(number) is int and 0 <= number < 1 << 48 for number in numbers
        ):
            raise InterchangeError(f"{source} has a shape or data_offsets that can't be")
    if len(shape) > _MOST_AXES or len(offsets) != 2:
        raise InterchangeError(f"{source} has a shape or data_offsets that can't be")
    begin, end = offsets
    if end - begin != math.prod(shape) * _DTYPES[dtype]:
        raise InterchangeError(
            f"{source} has {end - begin:,} bytes, which do not make {dtype} of shape {shape}"
        )
    return tuple(shape), (begin, end)
