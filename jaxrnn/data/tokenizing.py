"""From the files of a text to its ids on the disk: once, in pieces, and after an interruption from where it was.

One pass reads, checks, hashes and numbers: a character gets the next id when it first occurs. What is written so far
is noted now and then in `state.json`; a process that was stopped, however that was, has lost what came after. To go on
from there, the text and the ids up to it are hashed again, which is several times as fast as numbering them and proves
that both are still the same.

One process writes; others that want the same text wait for it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrnn.data.cache import (
    Stamps,
    TokenFile,
    entry_folder,
    known_sha256,
    open_tokens,
    remember_sha256,
    stamp,
    tokens_folder,
    write_record,
)
from jaxrnn.data.download import Report
from jaxrnn.data.numbering import Numbered, Numbering, read_numbered
from jaxrnn.data.pieces import normalised, read_pieces
from jaxrnn.data.sources import Source
from jaxrnn.data.texts import check_is_enough, decode_part, separating_bytes, shown
from jaxrnn.disk import (
    NO_LOCKS,
    put_in_place,
    reason,
    remove_tree,
    require_space,
    sync,
    try_remove_tree,
    write_text,
)
from jaxrnn.errors import CorpusError, JaxrnnError, SaveError

_CHECKPOINT = 1 << 28  # bytes of text after which the state is noted
_PATIENCE = 0.2  # seconds between two looks at whether another process is done
_STALE = 7 * 24 * 3600  # seconds after which what was left half done is deleted
_PIECE = 1 << 21  # bytes of ids
_LAST = 4  # bytes of a separator: it is one character
_STATE = "state.json"
_ENTRY = "entry"


class Part(NamedTuple):
    """A stretch of a text that is made of files."""

    data: bytes  # as the text has it; of characters, in UTF-8
    file: int  # the number of the file that it ends in
    end: int  # the offset in that file at which the next part begins
    last: bytes  # the end of the text so far
    done: int  # bytes of all files so far


def read_text(
    source: Source, tokens: str, separator: str = "", file: int = 0, offset: int = 0, last: bytes = b""
) -> Iterator[Part]:
    """Read the text of several files as one.

    Args:
        source: the files.
        tokens: "characters", which are decoded and checked, and lines end as in `texts`; or "bytes", as they are.
        separator: put between two files where the first does not end in it; an empty file is no file.
        file: the number of the file to begin with.
        offset: where in it: the `end` of a part.
        last: the end of what stands before, where something does.

    Raises:
        CorpusError: a file can't be read, is not text, or has grown since it was found.
    """
    between = separating_bytes(separator)
    is_text = tokens == "characters"
    before = sum(each.size for each in source.files[:file])
    for number in range(file, len(source.files)):
        path, name, size = source.files[number]
        for piece in read_pieces(path, name, offset if number == file else 0, is_text=is_text):
            if piece.end > size:  # it may grow for as long as it is read
                raise _changed(source)
            if is_text:
                decode_part(piece.data, name, piece.start)
            data = normalised(piece) if is_text else piece.data
            if piece.start == 0 and data and last and not last.endswith(between):
                data = between + data
            last = data[-_LAST:] or last
            yield Part(data, number, piece.end, last, before + piece.end)
        before += size


def hash_text(source: Source, tokens: str, separator: str = "", *, report: Report | None = None) -> str:
    """The SHA-256 of a text, as `Corpus.sha256`; files that have not changed since the last time are not read.

    Raises:
        CorpusError: as `read_text`.
    """
    stamps = _stamp(source, tokens, separator)
    if known := known_sha256(stamps):
        return known
    digest = hashlib.sha256()
    for part in read_text(source, tokens, separator):
        digest.update(part.data)
        if report:
            report(f"hashing {source.name}", part.done, source.size)
    with contextlib.suppress(OSError):  # it is computed again then
        remember_sha256(stamps, digest.hexdigest())
    return digest.hexdigest()


def tokenise(source: Source, tokens: str, separator: str = "", *, report: Report | None = None) -> TokenFile:
    """The ids of a text: found where they were written before, or written now.

    Args:
        source: the files.
        tokens: "characters" or "bytes".
        separator: as for `read_text`.
        report: told how it goes, as (what, bytes done, bytes in all).

    Raises:
        CorpusError: as `read_text`; or the text has fewer than two characters, or was changed meanwhile.
        VocabularyError: it has more than 65,536 different characters.
        SaveError: the ids can't be written. What is there already is gone on with the next time.
    """
    stamps = _stamp(source, tokens, separator)
    partial = tokens_folder() / f"partial-{stamps.name}"
    tell = report or _no_report
    try:
        while True:
            known = known_sha256(stamps)
            if known and (found := open_tokens(entry_folder(known, tokens))):
                return found
            with _claim(partial) as mine:
                if mine:
                    return _write(mine, source, tokens, separator, stamps, tell)
            tell(f"waiting for another process to write {partial.parent}", 0, source.size)
            time.sleep(_PATIENCE)
    except OSError as error:
        if not (partial / _STATE).exists():  # nobody could go on with it, and the disk may be full
            try_remove_tree(partial)
        raise _cant_write(partial, error) from error


def without(tokens: TokenFile, kept: str, *, report: Report | None = None) -> TokenFile:
    """The ids of a text without the characters that are not among those `kept`: an entry of its own.

    Raises:
        SaveError: it can't be written.
    """
    left_out = set(tokens.characters) - set(kept)
    if not left_out:
        return tokens
    listed = "".join(sorted(left_out))
    variant = f"without-{hashlib.sha256(listed.encode('utf-8')).hexdigest()[:16]}"
    target = entry_folder(tokens.text_sha256, tokens.tokens, variant)
    if found := open_tokens(target):
        return found
    what = f"leaving {len(left_out):,} characters out of the text"
    partial = tokens_folder() / f"partial-{variant}-{os.getpid()}"
    code_points = np.array([ord(character) for character in tokens.characters], np.uint32)
    is_kept = np.array([character not in left_out for character in tokens.characters])
    try:
        _begin(partial, tokens.file.stat().st_size)
        with contextlib.closing(Numbering(partial / _ENTRY)) as numbering, tokens.file.open("rb") as file:
            while data := file.read(_PIECE):
                ids = np.frombuffer(data, tokens.numbered.dtype)
                numbering.add(code_points[ids[is_kept[ids]]])
                if report:
                    report(what, file.tell(), tokens.length * ids.itemsize)
            return _publish(partial, target, numbering.sync(), tokens.text_sha256, tokens.tokens)
    except OSError as error:
        raise _cant_write(partial, error) from error
    finally:
        try_remove_tree(partial)


def _write(
    partial: Path, source: Source, tokens: str, separator: str, stamps: Stamps, report: Report
) -> TokenFile:
    """Writes the ids, from where they end if there are some, and makes them an entry."""
    what = f"tokenising {source.name}, once, into {partial.parent}"
    _tidy(partial)
    begun = _begun(partial, source, tokens, separator, report)
    if begun is None:
        try_remove_tree(partial / _ENTRY)
        _begin(partial, source.size)
        place, digest, numbering = _Place(), hashlib.sha256(), Numbering(partial / _ENTRY)
    else:
        place, digest, numbering = begun
    noted = place.done
    try:
        with contextlib.closing(numbering):
            for part in read_text(source, tokens, separator, *place[:3]):
                digest.update(part.data)
                if tokens == "bytes" or part.data.isascii():
                    numbering.add_bytes(part.data)
                else:
                    numbering.add(np.frombuffer(part.data.decode().encode("utf-32-le"), "<u4"))
                report(what, part.done, source.size)
                if part.done - noted >= _CHECKPOINT:
                    noted = part.done
                    _note(partial, part, digest.hexdigest(), numbering)
            numbered = numbering.sync()
        if _stamp(source, tokens, separator) != stamps:
            raise _changed(source)
        few = min(numbered.length, 2)
        if tokens == "bytes":
            check_is_enough(b"x" * few, shown(source.name))
        else:
            check_is_enough("x" * few, shown(source.name))
    except JaxrnnError:  # the files must change first, and what is here is of no use then
        try_remove_tree(partial)
        raise
    text_sha256 = digest.hexdigest()
    written = _publish(partial, entry_folder(text_sha256, tokens), numbered, text_sha256, tokens)
    remember_sha256(stamps, text_sha256)
    try_remove_tree(partial)
    return written


def _publish(partial: Path, target: Path, numbered: Numbered, text_sha256: str, tokens: str) -> TokenFile:
    """Makes what was written an entry, by one rename; unless another process has made it meanwhile."""
    if found := open_tokens(target):
        return found
    written = TokenFile(partial / _ENTRY, text_sha256, tokens, numbered)
    for path in written.folder.iterdir():
        if path != written.file:  # narrower ids, from before there were so many characters
            path.unlink()
    write_record(written)
    sync(written.folder)
    if os.path.lexists(target):  # and is no good, or it would have been found
        remove_tree(target)
    try:
        put_in_place(written.folder, target)
    except OSError:
        if found := open_tokens(target):
            return found
        raise
    return written._replace(folder=target)


# What is there already.


class _Place(NamedTuple):
    """Where a text is gone on with, as `read_text` takes it."""

    file: int = 0
    end: int = 0
    last: bytes = b""
    done: int = 0  # bytes of all files


def _note(partial: Path, part: Part, text_sha256: str, numbering: Numbering) -> None:
    """Notes how far the ids are; they are on the disk first."""
    place = {**part._asdict(), "data": None, "last": part.last.hex(), "text_sha256": text_sha256}
    numbered = numbering.sync()
    write_text(partial / _STATE, json.dumps({**place, **numbered._asdict()}) + "\n")
    numbering.tidy()


def _begun(
    partial: Path, source: Source, tokens: str, separator: str, report: Report
) -> "tuple[_Place, hashlib._Hash, Numbering] | None":
    """Where a process was that was stopped; None if there was none, or text or ids are not those that it noted."""
    try:
        state = json.loads((partial / _STATE).read_bytes())
        place = _Place(
            int(state["file"]), int(state["end"]), bytes.fromhex(state["last"]), int(state["done"])
        )
        text_sha256, numbered = str(state["text_sha256"]), read_numbered(state)
        numbering = Numbering(partial / _ENTRY, numbered)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    digest = hashlib.sha256()
    with contextlib.suppress(CorpusError):  # it is met again when the text is read from its start
        for part in read_text(source, tokens, separator):
            digest.update(part.data)
            report(f"checking what is there of {source.name}", part.done, place.done)
            if (part.file, part.end) >= (place.file, place.end):
                break
    if digest.hexdigest() == text_sha256:
        return place, digest, numbering
    numbering.close()
    return None


def _begin(partial: Path, size: int) -> None:
    """Makes the folders, and sure that there is room; a text of many characters can take twice its size."""
    (partial / _ENTRY).mkdir(parents=True, exist_ok=True)
    require_space(partial, size)


@contextlib.contextmanager
def _claim(partial: Path) -> Iterator[Path | None]:
    """The folder to write to, for as long as nobody else may; None while somebody else does."""
    partial.mkdir(parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            # Without locks nobody can be told from who was killed: everyone writes a folder of their own.
            alone = partial.with_name(f"{partial.name}-{os.getpid()}")
            try:
                yield alone
            finally:
                try_remove_tree(alone)
            return
        # It may have been finished, and deleted, between opening and locking.
        yield partial if _is_at(handle, partial) else None
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _tidy(partial: Path) -> None:
    """Deletes what others left half done, once it is so old that nobody will go on with it."""
    for other in partial.parent.glob("partial-*"):
        with contextlib.suppress(OSError):
            newest = max(path.stat().st_mtime for path in [other, *other.rglob("*")])
            if other != partial and time.time() - newest > _STALE:
                with _claim(other) as mine:
                    if mine == other:
                        remove_tree(other)


def _stamp(source: Source, tokens: str, separator: str) -> Stamps:
    return stamp(tuple(file.path for file in source.files), tokens, separator)


def _changed(source: Source) -> CorpusError:
    return CorpusError(f"{shown(source.name)} was changed while it was read: try again when it is complete")


def _cant_write(partial: Path, error: OSError) -> SaveError:
    left = "; what is written already is gone on with" if (partial / _STATE).exists() else ""
    return SaveError(
        f"{partial.parent}: the text's ids can't be written: {reason(error)}: make room there, or name another "
        f"folder in JAXRNN_TOKENS{left}"
    )


def _no_report(what: str, done: int, total: int) -> None:
    del what, done, total
