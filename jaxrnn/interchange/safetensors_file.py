"""A model as a safetensors file and JSON: the parameters by PyTorch's names, and what is said of them.

The description also stands in the file's own metadata, under `jaxrnn`, so that the file works alone.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrnn.data.texts import shown
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.description import describe, to_json
from jaxrnn.interchange.exporting import require
from jaxrnn.interchange.json_text import show
from jaxrnn.interchange.torch_names import torch_modules, torch_tensors
from jaxrnn.models.language_model import LanguageModel

METADATA = "jaxrnn"  # the key of the description


def write_safetensors(trained: LanguageModel, path: Path) -> list[Path]:
    """Writes the parameters to `path` and the description beside it, as `.json`.

    The description also has `torch`, how each layer is made in PyTorch (`torch_names.torch_modules`).

    Raises:
        InterchangeError: PyTorch has no such layer, or the package is missing.
        OSError: They can't be written.
    """
    if path.suffix == ".json":
        raise InterchangeError(
            f"{path.name}: ends in .json, as its description does; name it FILE.safetensors"
        )
    tensors = torch_tensors(trained.config, trained.params)
    description = describe(trained) | {"torch": torch_modules(trained.config, trained.params)}
    metadata = {METADATA: json.dumps(description), "format": "pt"}  # what PyTorch's own tools look for
    package = require("safetensors.numpy")
    beside = path.with_suffix(".json")
    path.write_bytes(package.save(tensors, metadata))  # not its save_file, whose errors are no OSErrors
    beside.write_text(to_json(description), encoding="ascii")
    return [path, beside]


def open_safetensors(path: Path) -> Callable[[str], NDArray[np.float32]]:
    """Returns a function that reads a tensor of a file whose header was checked, by its name, as float32.

    Raises:
        InterchangeError: The file is damaged, or the package is missing; the function: a number is not finite.
    """
    source = shown(str(path))
    package: Any = require("safetensors")
    try:
        file = package.safe_open(path, framework="numpy")
    except (package.SafetensorError, OSError) as error:
        raise InterchangeError(f"{source}: can't be read: {error}") from None

    def read(name: str) -> NDArray[np.float32]:
        try:
            given = file.get_tensor(name)
        except package.SafetensorError as error:
            raise InterchangeError(f"{source}: {show(name)} can't be read: {error}") from None
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
            tensor: NDArray[np.float32] = np.asarray(given).astype(np.float32)
        if not np.isfinite(tensor).all():
            raise InterchangeError(f"{source}: {show(name)} has numbers that are not finite in float32")
        return tensor

    return read
