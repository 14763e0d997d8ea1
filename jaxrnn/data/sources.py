"""The files of a corpus: a file, those of a folder, or those of a list of both, one after the other."""

import errno
import glob
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxrnn.config import CorpusConfig, Texts
from jaxrnn.data.builtin import BUILT_IN, data_folder, obtain
from jaxrnn.data.cache import tokens_folder
from jaxrnn.data.piped import STDIN, keep
from jaxrnn.data.tables import kind_of_table, read_rows
from jaxrnn.data.texts import as_bytes, read_pieces, several, shown
from jaxrnn.data.vocabulary import TOKENIZERS, Text
from jaxrnn.disk import reason, user_path
from jaxrnn.errors import CorpusError, did_you_mean
from jaxrnn.types import OnProgress

RESIDENT_BYTES = 100_000_000  # of a corpus that "auto" keeps in memory and on the device
_RECENT = 2_000_000_000  # nanoseconds: what file systems round times to, at most


class File(NamedTuple):
    """A regular file, and what messages call it."""

    path: Path  # absolute
    name: str
    size: int  # bytes
    times: tuple[int, int]  # ns: of the last change of its content; of its status, which nobody can set
    number: int  # in the file system


class Source(NamedTuple):
    """A corpus before it is read."""

    config: CorpusConfig  # what was asked for
    path: Path | tuple[Path, ...]  # absolute, of what was named
    files: tuple[File, ...]  # in the order in which they are read

    @property
    def name(self) -> str:
        """Return the names of a corpus in one line."""
        return "standard input" if self.config.text == "-" else several(self.config.text)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def stamp(self) -> tuple[object, ...]:
        """What changes with the content: sizes, times and numbers of the files, and how they are read."""
        files = [(file.path, *file[2:]) for file in self.files]
        config = self.config
        return config.tokens, config.separator, config.encoding, config.field, files

    @property
    def is_recent(self) -> bool:
        """Whether a file could change again in the same tick of the clock; one of the future is as good as old.

        The clocks of two machines differ, and such a file may never change.
        """
        return any(abs(time.time_ns() - file.times[0]) < _RECENT for file in self.files)

    @property
    def is_streamed(self) -> bool:
        """Whether the corpus stays on disk."""
        streamed = self.config.streamed
        return streamed == "always" or (streamed == "auto" and self.size > RESIDENT_BYTES)


def find_source(config: CorpusConfig, *, on_progress: OnProgress = lambda *_: None) -> Source:
    """Find the files of a corpus; a built-in one is fetched the first time.

    Args:
        config: what and how. Its `text` is a built-in name, or the path of a file or of a folder; or several of them. A
            built-in name wins over a file; `./name` forces the file. A pattern, `*.txt`, stands for the files that
            match, sorted; `-` for standard input, which is kept in the token cache, as what comes from a pipe. A folder
            stands for all regular files in it and
            below it, sorted by their paths, without hidden ones, runs and the token cache.
        on_progress: told how a download goes.

    Raises:
        CorpusError: One of them is missing, can't be read, or is not a regular file; or a folder has no files.
        DownloadError: A built-in corpus could not be fetched.
    """
    names = config.text
    found = [_find(name, on_progress) for name in ((names,) if isinstance(names, str) else names)]
    path = found[0][0] if isinstance(names, str) else tuple(each for each, _ in found)
    return Source(config, path, tuple(file for _, files in found for file in files))


def named_paths(texts: Texts) -> list[Path]:
    """Return where the files and folders are that a corpus is made of; nothing is fetched, and they may be missing."""
    names = (texts,) if isinstance(texts, str) else texts
    return [
        data_folder() / f"{name}.txt" if name in BUILT_IN else Path(os.path.expanduser(name))  # noqa: PTH111  (`~nobody` stays)
        for name in names
    ]


def read_source(source: Source, what: str = "", on_progress: OnProgress = lambda *_: None) -> Iterator[Text]:
    """Read the files of a corpus as one, piece by piece.

    The separator is put between two files where the first does not end in it; empty files are left out.

    Args:
        source: the files.
        what: for `on_progress`.
        on_progress: told how many of the bytes are read.

    Yields:
        Pieces of text, or of bytes where these are the tokens.

    Raises:
        CorpusError: A file can't be read, is not text, or was changed since it was found.
    """
    is_text, separator = TOKENIZERS[source.config.tokens].is_text, source.config.separator
    separator = separator or "\n" * bool(source.config.field)
    between: Any = separator if is_text else as_bytes(separator)
    last, before = between[:0], 0  # the end of what was read so far, and its bytes
    for file in source.files:
        is_first = True
        piece: Any
        pieces: Any = read_pieces(file.path, file.name, is_text=is_text, encoding=source.config.encoding)
        if source.config.field and kind_of_table(file.name):
            pieces = read_rows(pieces, file.name, source.config.field, separator)
        for piece, end in pieces:
            if end > file.size:  # it may grow for as long as it is read
                raise changed(source)
            if is_first and piece and last and not last.endswith(between):
                piece = between + piece
            is_first = is_first and not piece
            last = piece[-4:] or last  # a separator has 4 bytes at most
            on_progress(what, before + end, source.size)
            yield piece
        before += file.size
    with suppress(OSError):
        if all(_file(file.path, file.name, file.path.stat()) == file for file in source.files):
            return
    raise changed(source)


def changed(source: Source) -> CorpusError:
    """Return the error about files that were written to while they were read."""
    return CorpusError(f"{shown(source.name)} was changed while it was read: try again when it is complete")


def _file(path: Path, name: str, status: os.stat_result) -> File:
    return File(path, name, status.st_size, (status.st_mtime_ns, status.st_ctime_ns), status.st_ino)


def _find(name: str, on_progress: OnProgress) -> tuple[Path, list[File]]:
    if name in BUILT_IN:
        path, _ = obtain(name, on_progress)
        return path, [_file(path, str(path), path.stat())]
    if name in STDIN:
        path = keep(name)
        return path, [_file(path, "standard input", path.stat())]
    try:
        path = user_path(name).absolute()
        status = path.stat()
    except FileNotFoundError:
        matching = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (of an absolute pattern)
        if files := [
            _file(Path(each), shown(each), look) for each in matching if (look := _regular(Path(each)))
        ]:
            return path, files
        near = did_you_mean(name.lower(), BUILT_IN)
        remedy = near or f"; check the path, or take one of {', '.join(BUILT_IN)}"
        raise CorpusError(
            f"there is no file {shown(name)}, and no built-in corpus of that name{remedy}"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:  # of the last two: a NUL in the path, `~nobody`
        raise CorpusError(
            f"can't read {shown(name)} ({reason(error)}): check the path and its permissions"
        ) from None
    if stat.S_ISREG(status.st_mode):
        return path, [_file(path, shown(name), status)]
    if stat.S_ISFIFO(status.st_mode):
        path = keep(str(path))
        return path, [_file(path, shown(name), path.stat())]
    if not stat.S_ISDIR(status.st_mode):
        raise CorpusError(f"{shown(name)} is not a regular file: save the corpus in a file first")
    files = _below(path, name.rstrip("/") or "/")
    if not files:
        raise CorpusError(
            f"{shown(name)} is a folder without files (hidden ones and runs do not count): put texts there"
        )
    return path, files


def _below(folder: Path, name: str) -> list[File]:
    """Return the regular files of a folder and of those in it, links to other folders not followed."""
    # Without links and `..`, for one folder has many paths.
    ours, real = map(Path, map(os.path.realpath, (tokens_folder(), folder)))
    found: dict[tuple[str, ...], os.stat_result] = {}
    for here, folders, files in os.walk(folder, onerror=_refuse):
        parts = Path(here).relative_to(folder).parts
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".")
            and real.joinpath(*parts, each) != ours
            and not _is_run(Path(here, each))
        ]
        for each in files:
            if not each.startswith(".") and (status := _regular(Path(here, each))):
                found[*parts, each] = status
    return [
        _file(folder.joinpath(*parts), shown("/".join([name, *parts])), found[parts])
        for parts in sorted(found)
    ]


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run directory (`jaxrnn.runs.directory`), which grows while its corpus is read."""
    record = folder / "run.json"
    try:
        return record.is_file() and b'"kind": "jaxrnn run"' in record.read_bytes()
    except OSError:
        return False


def _regular(path: Path) -> os.stat_result | None:
    """Return the status of a regular file, or of one that a link leads to; None for anything else."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            _refuse(error)
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _refuse(error: OSError) -> None:
    raise CorpusError(f"can't read {shown(str(error.filename))} ({error.strerror}): check its permissions")
