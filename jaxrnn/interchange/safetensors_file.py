"""A model as a safetensors file and JSON: the parameters by PyTorch's names, and the description of the model.

The description is also in the file's own metadata, under `jaxrnn`, so that the file works alone.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.description import METADATA, describe, write_described
from jaxrnn.interchange.exporting import require
from jaxrnn.interchange.torch_names import torch_modules, torch_tensors
from jaxrnn.interchange.untrusted import read_start
from jaxrnn.models.language_model import LanguageModel

MOST_HEADER_BYTES = 8_000_000  # with 65,536 characters in it, it has about one million
MOST_NUMBERS = 1 << 30
_DTYPES = ("F32", "F64", "F16", "BF16")


def write_safetensors(trained: LanguageModel, path: Path) -> list[Path]:
    """Write the parameters to `path` and the description next to it, as `.json`.

    The same model gives the same bytes.

    The description also has `torch`, how each layer is made in PyTorch (`torch_names.torch_modules`).

    Raises:
        InterchangeError: PyTorch has no such layer, or the package is missing.
        OSError: They can't be written.
    """
    if path.suffix == ".json":
        raise InterchangeError(
            f"{path.name}: ends in .json, as its description does; name it FILE.safetensors"
        )
    modules = torch_modules(trained.config, trained.vocabulary.size)
    description = describe(trained) | {"torch": modules}
    metadata = {METADATA: json.dumps(description), "format": "pt"}  # what PyTorch's own tools look for
    # Not its save_file, whose errors are no OSErrors.
    content = require("safetensors.numpy").save(torch_tensors(trained.params), metadata)
    return write_described(path, _in_order(content), path.with_suffix(".json"), description)


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with sorted keys in its header: the package writes the metadata in any order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


class TensorFile(NamedTuple):
    """An open safetensors file."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    read: Callable[[str], NDArray[np.float32]]  # a tensor by its name; refuses numbers that are not finite


def open_safetensors(path: Path) -> TensorFile:
    """Open a safetensors file; no tensor is read.

    The package checks the header: its size, its JSON, and that types, shapes and offsets add up to the size of the file
    without gaps or overlaps. What it accepts and we refuse: headers of up to 100 MB (a million tensors take 20 s and
    1.5 GB), types that are no weights (NumPy has no float8, and complex numbers would lose a part), and more numbers
    than memory holds, which a sparse file has without taking disk space.

    Raises:
        InterchangeError: The file is corrupt, or has such tensors; or the package is missing.
    """
    package = require("safetensors")
    length = int.from_bytes(read_start(path, 8), "little")
    if length > MOST_HEADER_BYTES:
        raise InterchangeError(
            f"its header would have {length:,} bytes; at most {MOST_HEADER_BYTES:,} are read"
        )
    try:
        file = package.safe_open(path, framework="numpy")
    except (package.SafetensorError, OSError) as error:
        raise InterchangeError(f"not a safetensors file, or a corrupt one: {error}") from None
    shapes: dict[str, tuple[int, ...]] = {}
    for name in file.keys():  # noqa: SIM118
        view = file.get_slice(name)
        shapes[name] = tuple(view.get_shape())
        if view.get_dtype() not in _DTYPES:
            problem = f"is of type {view.get_dtype()}; only {', '.join(_DTYPES)} can be weights"
            raise InterchangeError(f"{name!r} {problem}")
    total = sum(map(math.prod, shapes.values()))
    if total > MOST_NUMBERS:
        raise InterchangeError(f"has {total:,} numbers; at most {MOST_NUMBERS:,} are read")

    def read(name: str) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # values too large for float32 become infinite, and are refused
            tensor: NDArray[np.float32] = np.asarray(file.get_tensor(name)).astype(np.float32)
        if not np.isfinite(tensor).all():
            raise InterchangeError(f"{name!r} has numbers that are not finite in float32")
        return tensor

    return TensorFile(shapes, file.metadata() or {}, read)
