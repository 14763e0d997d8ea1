"""Where the ids of large texts are kept: an entry for each text, known by the text's SHA-256.

    tokens/
      SHA256-characters/      an entry; it appears by one rename
        tokens.json           what it holds: `TokenFile`
        ids.uint8             or ids.uint16: an id for each character, in the order of the text
      known/STAMP.json        the SHA-256 of files that have not changed since they were read
      partial-STAMP/          what a process is writing, or left when it was stopped

An entry does not depend on any model: its ids count the text's characters in the order in which they first occur, and
`Stream` turns them into those of a vocabulary. It can be deleted at any time, and is made again when it is needed.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.data.builtin import data_folder
from jaxrnn.data.numbering import Numbered, read_numbered
from jaxrnn.disk import reason, write_text
from jaxrnn.errors import CorpusError

FORMAT_VERSION = 1
RECORD = "tokens.json"
_KIND = "jaxrnn tokens"
_RECENT = 2_000_000_000  # nanoseconds: what file systems round times to, at most
_CHUNK = 1 << 24  # bytes


class TokenFile(NamedTuple):
    """A text on the disk, as ids."""

    folder: Path
    text_sha256: str  # of the text, as `Corpus.sha256`
    tokens: str  # "characters" or "bytes"
    numbered: Numbered  # its ids

    @property
    def file(self) -> Path:
        """The file with the ids."""
        return self.folder / f"ids.{self.numbered.dtype}"

    @property
    def length(self) -> int:
        """How many ids there are."""
        return self.numbered.length

    @property
    def characters(self) -> str:
        """The text's characters, each once, in the order of their ids."""
        return self.numbered.characters


def tokens_folder() -> Path:
    """Where entries are: the folder that JAXRNN_TOKENS names, else `tokens/` in the data folder.

    Raises:
        DownloadError: if there is no place for data at all.
    """
    configured = os.environ.get("JAXRNN_TOKENS")
    return Path(configured).absolute() if configured else data_folder() / "tokens"


def entry_folder(text_sha256: str, tokens: str, variant: str = "") -> Path:
    """Where the entry of a text is, or would be; a variant is the text without some characters."""
    return tokens_folder() / "-".join(filter(None, [text_sha256, tokens, variant]))


def open_tokens(folder: Path) -> TokenFile | None:
    """The entry in a folder; None if there is none, or it is not what was written there.

    What costs no time is checked: the record, and the size of the file with the ids. `check_tokens` reads it all.
    """
    try:
        values = json.loads((folder / RECORD).read_bytes())
        tokens = _from_json(folder, values)
        if tokens.file.stat().st_size != tokens.length * np.dtype(tokens.numbered.dtype).itemsize:
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return tokens


def check_tokens(tokens: TokenFile) -> bool:
    """Whether the ids of an entry are those that were written, by their SHA-256."""
    digest = hashlib.sha256()
    with tokens.file.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest() == tokens.numbered.ids_sha256


def write_record(tokens: TokenFile) -> None:
    """Writes tokens.json into the entry's folder.

    Raises:
        OSError: it can't be written.
    """
    record = {"kind": _KIND, "format_version": FORMAT_VERSION, "text_sha256": tokens.text_sha256}
    record |= {"tokens": tokens.tokens, **tokens.numbered._asdict()}
    write_text(tokens.folder / RECORD, json.dumps(record) + "\n")


def _from_json(folder: Path, values: Mapping[str, Any]) -> TokenFile:
    """The record that `write_record` wrote; anything else is one of several exceptions."""
    if values["kind"] != _KIND or values["format_version"] != FORMAT_VERSION:
        raise ValueError("of another kind")
    return TokenFile(folder, str(values["text_sha256"]), str(values["tokens"]), read_numbered(values))


# Files that have not changed need not be read again to know what is in them.


class Stamps(NamedTuple):
    """What the system says of files, and when they were last written to."""

    name: str  # a hash: another one where a file, or what is asked of them, is another
    newest: int  # nanoseconds since 1970


def stamp(files: tuple[Path, ...], *options: str) -> Stamps:
    """What tells whether files have changed: their paths, sizes, times of change and numbers in the file system.

    Args:
        files: regular files.
        options: what else the content depends on.

    Raises:
        CorpusError: one of them is gone.
    """
    digest, newest = hashlib.sha256(repr(options).encode()), 0
    for path in files:
        try:
            status = path.stat()
        except OSError as error:
            raise CorpusError(f"can't read {path} ({reason(error)}): check the path") from None
        # The time of a status change, which nobody can set, tells of a new content under an old date.
        found = (os.fsencode(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        digest.update(repr(found).encode())
        newest = max(newest, status.st_mtime_ns)
    return Stamps(digest.hexdigest()[:32], newest)


def known_sha256(stamps: Stamps) -> str | None:
    """The SHA-256 of a text whose files have not changed since it was last computed; None where that is not known."""
    try:
        values = json.loads((tokens_folder() / "known" / f"{stamps.name}.json").read_bytes())
        return str(values["text_sha256"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remember_sha256(stamps: Stamps, text_sha256: str) -> None:
    """Remembers the SHA-256 of files, unless one is so new that it could change again in the same tick of the clock.

    Raises:
        OSError: it can't be written.
    """
    if time.time_ns() - stamps.newest < _RECENT:
        return
    folder = tokens_folder() / "known"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{stamps.name}.json", json.dumps({"text_sha256": text_sha256}) + "\n")
