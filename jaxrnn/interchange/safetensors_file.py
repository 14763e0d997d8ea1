"""A model's parameters in a safetensors file, by PyTorch's names and in PyTorch's shapes."""

from pathlib import Path

from jaxrnn.errors import InterchangeError
from jaxrnn.trained import Trained


def write_safetensors(trained: Trained, path: Path) -> list[Path]:
    """Writes the parameters to `path`, and the description beside it."""
    raise InterchangeError(f"{path}: not written yet; {trained.name}")
