"""The token cache: the token ids of large corpora on disk, one entry per corpus, keyed by the corpus's SHA-256.

    tokens/
      SHA256-characters/      an entry; written atomically
        tokens.json           its vocabulary, the token counts, and the SHA-256 of both and of the ids
        ids                   one byte per id, or two if the vocabulary has more than 256 tokens
      known/STAMP.json        the SHA-256 of files that have not changed since they were read
      piped/SHA256            a corpus from standard input or a pipe, unchanged
      partial-PID/            an entry being written by a process
      .lock                   held by the writing process

An entry does not depend on a model: its ids are those of the corpus's own vocabulary, and a `TokenSource` maps them to
another vocabulary when they are read. Everything here can be deleted at any time and is recreated when needed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn.data.builtin import data_folder
from jaxrnn.data.tokens import TokenSource, on_disk
from jaxrnn.data.vocabulary import Counts, Ids, Vocabulary, id_type, vocabulary_from_json, vocabulary_to_json
from jaxrnn.disk import put_in_place, reason, remove_tree, require_space, sync, try_remove_tree, write_text
from jaxrnn.errors import CorpusError, SaveError, VocabularyError
from jaxrnn.types import OnProgress

LIMIT = 50_000_000_000  # bytes of all entries; above it, the least recently opened are deleted
_VERSION = 2
_RECORD, _IDS = "tokens.json", "ids"


def tokens_folder() -> Path:
    """Return the folder of the cache: JAXRNN_TOKENS, else `tokens/` in the data folder.

    Raises:
        DownloadError: The data folder can't be determined.
    """
    configured = os.environ.get("JAXRNN_TOKENS")
    return Path(configured).absolute() if configured else data_folder() / "tokens"


def entry_folder(sha256: str, tokens: str, without: str = "") -> Path:
    """Return the path of the entry of a corpus, whether it exists or not.

    Args:
        sha256: The SHA-256 of the corpus.
        tokens: The tokenizer, as in `corpus.tokens`.
        without: Characters that are dropped from the corpus.

    Raises:
        CorpusError: `sha256` is not a SHA-256. It becomes part of a path and may come from an untrusted run directory.
    """
    if not _is_sha256(sha256):
        raise CorpusError(
            f"{sha256[:80]!r}: is not the SHA-256 of a corpus; restore run.json from a copy of the run"
        )
    variant = f"-without-{hashlib.sha256(without.encode()).hexdigest()[:16]}" if without else ""
    return tokens_folder() / f"{sha256}-{tokens}{variant}"


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def open_entry(folder: Path) -> tuple[TokenSource, Counts] | None:
    """Open an entry and verify its hashes, which takes about 1 s per GB.

    Args:
        folder: The path from `entry_folder`.

    Returns:
        The ids, and the count of each token of their vocabulary; None if the entry is missing or corrupt.
    """
    ids = folder / _IDS
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        if record.pop("sha256") != _hash_of(record) or record["format_version"] != _VERSION:
            return None
        vocabulary = vocabulary_from_json(record["vocabulary"], str(folder))
        counts = np.array(record["counts"], np.int64)
        with ids.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record["ids_sha256"]:
                return None
        with contextlib.suppress(OSError):  # a cache of another user
            os.utime(folder / _RECORD)  # marks the entry as recently opened
        return on_disk(vocabulary, ids, int(counts.sum())), counts
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, VocabularyError):
        return None


def _hash_of(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


@contextlib.contextmanager
def _locked(folder: Path, on_progress: OnProgress) -> Iterator[None]:
    """Hold the lock of the cache; other processes wait.

    Raises:
        SaveError: The cache can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as file:
            # On a file system without locks, processes write without waiting.
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    on_progress(f"waiting for another process to write {folder}", 0, 0)
                    fcntl.flock(file, fcntl.LOCK_EX)
                for left in folder.glob("partial-*"):  # of killed processes
                    try_remove_tree(left)
            yield
    except OSError as error:
        raise SaveError(
            f"{folder}: token ids can't be written: {reason(error)}: free some space, or set JAXRNN_TOKENS to "
            "another folder"
        ) from error


def write_entry(
    folder: Path, vocabulary: Vocabulary, counts: Counts, pieces: Iterable[Ids], on_progress: OnProgress
) -> TokenSource:
    """Write an entry atomically, unless another process has just written it; return its ids.

    Args:
        folder: The path from `entry_folder`.
        vocabulary: The vocabulary of the corpus.
        counts: The count of each token.
        pieces: The ids in this vocabulary, in order.
        on_progress: Called when this process waits for another.

    Raises:
        SaveError: The entry can't be written.
    """
    cache, length = folder.parent, int(counts.sum())
    partial = cache / f"partial-{os.getpid()}"
    with _locked(cache, on_progress):
        if entry := open_entry(folder):
            return entry[0]
        try:
            partial.mkdir(exist_ok=True)
            require_space(partial, length * id_type(vocabulary).itemsize)
            digest = hashlib.sha256()
            with (partial / _IDS).open("wb") as file:
                for ids in pieces:
                    file.write(ids.data)
                    digest.update(ids.data)
            record = {"format_version": _VERSION, "vocabulary": vocabulary_to_json(vocabulary)}
            record |= {"counts": counts.tolist(), "ids_sha256": digest.hexdigest()}
            sync(partial / _IDS)
            write_text(partial / _RECORD, json.dumps({**record, "sha256": _hash_of(record)}) + "\n")
            sync(partial)
            remove_tree(folder)  # a corrupt entry: `open_entry` refused it above
            put_in_place(partial, folder)
        finally:
            try_remove_tree(partial)
        _evict(folder)
        return on_disk(vocabulary, folder / _IDS, length)


def _evict(kept: Path) -> None:
    """Delete the least recently opened entries until all entries take at most `LIMIT` bytes."""
    with contextlib.suppress(OSError):
        records = sorted(kept.parent.glob(f"*/{_RECORD}"), key=lambda path: path.stat().st_mtime_ns)
        sizes = {path.parent: sum(each.stat().st_size for each in path.parent.iterdir()) for path in records}
        total = sum(sizes.values())
        for folder, size in sizes.items():
            if total > LIMIT and folder != kept:
                remove_tree(folder)
                total -= size


# The SHA-256 of files that have not changed since they were read.


def _known(stamp: object) -> Path:
    return tokens_folder() / "known" / f"{hashlib.sha256(repr(stamp).encode()).hexdigest()[:32]}.json"


def known_sha256(stamp: object) -> str | None:
    """Return the SHA-256 of a corpus with this `Source.stamp`; None if it was not computed yet."""
    try:
        found = json.loads(_known(stamp).read_bytes())["sha256"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if _is_sha256(found) else None


def remember_sha256(stamp: object, sha256: str) -> None:
    """Record the SHA-256 of a corpus with this `Source.stamp`."""
    with contextlib.suppress(OSError):  # it will be computed again
        _known(stamp).parent.mkdir(parents=True, exist_ok=True)
        write_text(_known(stamp), json.dumps({"sha256": sha256}) + "\n")
