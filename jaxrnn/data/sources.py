"""The files of a corpus: one file, the files of a folder, or a list of files and folders."""

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

RESIDENT_BYTES = 100_000_000  # the largest corpus that streamed = "auto" loads into memory
_RECENT = 2_000_000_000  # nanoseconds: the coarsest resolution of file times


class File(NamedTuple):
    """A regular file."""

    path: Path  # absolute
    name: str  # in messages
    size: int  # bytes
    times: tuple[int, int]  # ns: mtime; and ctime, which programs can't set
    number: int  # inode


class Source(NamedTuple):
    """A corpus before it is read."""

    config: CorpusConfig
    path: Path | tuple[Path, ...]  # the absolute path of each name in `config.text`
    files: tuple[File, ...]  # in reading order

    @property
    def name(self) -> str:
        """The names of the corpus in one line."""
        return "standard input" if self.config.text == "-" else several(self.config.text)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def stamp(self) -> tuple[object, ...]:
        """A key that changes with the content: sizes, times and inodes of the files, and how they are read."""
        files = [(file.path, *file[2:]) for file in self.files]
        config = self.config
        return config.tokens, config.separator, config.encoding, config.field, files

    @property
    def is_recent(self) -> bool:
        """Whether a file is so new that it could change again without a change of its times.

        Files with times in the future count as old, because the clocks of machines differ.
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
        config: The section `[corpus]`. Its `text` is a built-in name, the path of a file or a folder, or a list of
            these. A built-in name takes precedence over a file; `./name` selects the file. A pattern such as `*.txt`
            selects the matching files, sorted; `-` is standard input, which is saved in the token cache, like a pipe. A
            folder selects all regular files in it and below, sorted by path, except hidden files, runs and the token
            cache.
        on_progress: Receives the progress of a download.

    Raises:
        CorpusError: A file is missing, can't be read, or is not a regular file; or a folder has no files.
        DownloadError: A built-in corpus could not be fetched.
    """
    names = config.text
    found = [_find(name, on_progress) for name in ((names,) if isinstance(names, str) else names)]
    path = found[0][0] if isinstance(names, str) else tuple(each for each, _ in found)
    return Source(config, path, tuple(file for _, files in found for file in files))


def named_paths(texts: Texts) -> list[Path]:
    """Return the paths of the files and folders of a corpus; nothing is fetched, and they may be missing."""
    names = (texts,) if isinstance(texts, str) else texts
    return [
        data_folder() / f"{name}.txt" if name in BUILT_IN else Path(os.path.expanduser(name))  # noqa: PTH111  (`~nobody` stays)
        for name in names
    ]


def read_source(source: Source, what: str = "", on_progress: OnProgress = lambda *_: None) -> Iterator[Text]:
    """Read the concatenated files of a corpus, piece by piece.

    The separator is put between two files unless the first ends in it; empty files are skipped.

    Args:
        source: The files.
        what: The task, for `on_progress`.
        on_progress: Receives the progress in bytes.

    Yields:
        Pieces of text, or of bytes if the tokens are bytes.

    Raises:
        CorpusError: A file can't be read, is not text, or was changed since it was found.
    """
    is_text, separator = TOKENIZERS[source.config.tokens].is_text, source.config.separator
    separator = separator or "\n" * bool(source.config.field)
    between: Any = separator if is_text else as_bytes(separator)
    last, before = between[:0], 0  # the last characters, and the bytes of the files read so far
    for file in source.files:
        is_first = True
        piece: Any
        pieces: Any = read_pieces(file.path, file.name, is_text=is_text, encoding=source.config.encoding)
        if source.config.field and kind_of_table(file.name):
            pieces = read_rows(pieces, file.name, source.config.field, separator)
        for piece, end in pieces:
            if end > file.size:  # the file grew while it was read
                raise changed(source)
            if is_first and piece and last and not last.endswith(between):
                piece = between + piece
            is_first = is_first and not piece
            last = piece[-4:] or last  # a separator has at most 4 bytes
            on_progress(what, before + end, source.size)
            yield piece
        before += file.size
    with suppress(OSError):
        if all(_file(file.path, file.name, file.path.stat()) == file for file in source.files):
            return
    raise changed(source)


def changed(source: Source) -> CorpusError:
    """Return the error for files that changed while they were read."""
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
    """Return the regular files below a folder; links to other folders are not followed."""
    # Real paths, because a folder can have several paths.
    cache, real = map(Path, map(os.path.realpath, (tokens_folder(), folder)))
    found: dict[tuple[str, ...], os.stat_result] = {}
    for here, folders, files in os.walk(folder, onerror=_refuse):
        parts = Path(here).relative_to(folder).parts
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".")
            and real.joinpath(*parts, each) != cache
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
    """Return the status of a regular file or of a link to one; None for anything else."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            _refuse(error)
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _refuse(error: OSError) -> None:
    raise CorpusError(f"can't read {shown(str(error.filename))} ({error.strerror}): check its permissions")
