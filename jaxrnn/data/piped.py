"""Corpora from standard input or a pipe, which can be read only once: saved in the token cache."""

import hashlib
import os
from pathlib import Path

from jaxrnn.data.cache import tokens_folder
from jaxrnn.disk import reason, writing
from jaxrnn.errors import CorpusError

STDIN = ("-", "/dev/stdin")
_PIECE = 1 << 20  # bytes


def keep(name: str) -> Path:
    """Read standard input or a pipe to its end; return the file with the data in the token cache.

    Raises:
        CorpusError: The input can't be read.
        SaveError: The token cache can't be written.
    """
    folder, digest = tokens_folder() / "piped", hashlib.sha256()
    partial = folder / f"partial-{os.getpid()}"
    try:
        source = open(0, "rb", closefd=False) if name in STDIN else Path(name).open("rb")  # noqa: SIM115
    except OSError as error:
        raise CorpusError(
            f"can't read {'standard input' if name in STDIN else name} ({reason(error)})"
        ) from None
    with source, writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            while data := source.read(_PIECE):
                digest.update(data)
                file.write(data)
        return partial.rename(folder / digest.hexdigest())
