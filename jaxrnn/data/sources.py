"""The files that a text is made of: a file, those of a folder, or those of a list of both, one after the other."""

import difflib
import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from jaxrnn.config import Texts
from jaxrnn.data.builtin import BUILT_IN, obtain
from jaxrnn.data.cache import tokens_folder
from jaxrnn.data.download import Report
from jaxrnn.data.texts import several, shown
from jaxrnn.errors import CorpusError

RESIDENT_BYTES = 100_000_000  # of a text that "auto" keeps in memory and on the device
LARGEST_RESIDENT = 2**31 - 1  # characters: positions on the device are 32-bit integers


class File(NamedTuple):
    """A regular file, and what messages call it."""

    path: Path  # absolute
    name: str
    size: int  # bytes


class Source(NamedTuple):
    """A text before it is read."""

    name: str  # what was named, in one line
    path: Path | tuple[Path, ...]  # absolute, of what was named
    files: tuple[File, ...]  # in the order in which they are read
    size: int  # bytes of all files


def find_source(names: Texts, *, report: Report | None = None) -> Source:
    """Find the files of a text; a built-in one is fetched the first time.

    Args:
        names: a built-in name, or the path of a file or of a folder; or several of them. A built-in name wins over a
            file; `./name` forces the file. A folder stands for all regular files in it and below it, sorted by
            their paths, without hidden ones and without what `jaxrnn` keeps there itself.
        report: told how a download goes.

    Raises:
        CorpusError: if one of them is not there, can't be read, or is no file; or a folder has no files.
        DownloadError: if a built-in corpus could not be fetched.
    """
    found = [_find(name, report) for name in ((names,) if isinstance(names, str) else names)]
    files = tuple(file for _, of_one in found for file in of_one)
    path = found[0][0] if isinstance(names, str) else tuple(each for each, _ in found)
    return Source(several(names), path, files, sum(file.size for file in files))


def is_streamed(streamed: str, source: Source) -> bool:
    """Whether a text stays on the disk, by `corpus.streamed` and its size."""
    return streamed == "always" or (streamed == "auto" and source.size > RESIDENT_BYTES)


def _find(name: str, report: Report | None) -> tuple[Path, list[File]]:
    if name in BUILT_IN:
        path, _ = obtain(name, report or _no_report)
        return path, [_file(path, str(path))]
    path = _existing(name)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):  # what is wrong is said by whoever opens it
        is_folder = False
    if not is_folder:
        return path.absolute(), [_file(path.absolute(), name)]
    files = _below(path.absolute(), name.rstrip("/") or "/")
    if not files:
        raise CorpusError(
            f"{shown(name)} is a folder without files (hidden ones do not count): put texts there"
        )
    return path.absolute(), files


def _existing(name: str) -> Path:
    """The path that a name stands for, where something is there; or where reading it will say what is wrong.

    Raises:
        CorpusError: if nothing is there.
    """
    if not name:
        raise CorpusError(f"no text is given: name a file or one of {_names()}")
    try:
        path = Path(name).expanduser()
        exists = path.exists() or path.is_symlink()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, `~nobody`
        return Path(name)
    if not exists:
        near = difflib.get_close_matches(name.lower(), BUILT_IN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"check the path, or take one of {_names()}"
        raise CorpusError(f"there is no file {shown(name)}, and no built-in corpus of that name: {hint}")
    return path


def _below(folder: Path, name: str) -> list[File]:
    """The regular files of a folder and of those in it, links to other folders not followed."""
    # Without links and `..`, for one folder has many paths.
    ours, real = map(Path, map(os.path.realpath, (tokens_folder(), folder)))
    found: list[tuple[str, ...]] = []
    for here, folders, files in os.walk(folder, onerror=_refuse):
        parts = Path(here).relative_to(folder).parts
        folders[:] = [
            each for each in folders if not each.startswith(".") and real.joinpath(*parts, each) != ours
        ]
        found += [
            (*parts, each) for each in files if not each.startswith(".") and _is_regular(Path(here, each))
        ]
    return [_file(folder.joinpath(*parts), "/".join([name, *parts])) for parts in sorted(found)]


def _is_regular(path: Path) -> bool:
    """Whether it is a regular file, or a link to one; what can't be looked at is refused, not passed over."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            _refuse(error)
        return False


def _refuse(error: OSError) -> None:
    raise CorpusError(f"can't read {shown(str(error.filename))} ({error.strerror}): check its permissions")


def _file(path: Path, name: str) -> File:
    """A regular file.

    Raises:
        CorpusError: if it is missing, none, or can't be looked at.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise CorpusError(f"there is no file {shown(name)}: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise CorpusError(f"can't read {shown(name)} ({why}): check the path and its permissions") from None
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(f"{shown(name)} is not a regular file: save the text in a file first")
    return File(path, shown(name), status.st_size)


def _names() -> str:
    return ", ".join(BUILT_IN)


def _no_report(what: str, done: int, total: int) -> None:
    del what, done, total
