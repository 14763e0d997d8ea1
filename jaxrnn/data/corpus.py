"""The text a model learns from: found by name or path, checked, and divided into what is learnt and held out.

A text is a `str` where the tokens are characters and `bytes` where they are bytes: either way its length is how many
tokens it has, and a slice is a slice of tokens.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from jaxrnn.config import Config, Texts
from jaxrnn.data.builtin import data_folder
from jaxrnn.data.download import Report
from jaxrnn.data.sources import RESIDENT_BYTES, Source, find_source
from jaxrnn.data.texts import (
    check_is_enough,
    decode_part,
    join_parts,
    read_bytes,
    separating_bytes,
    several,
    shown,
)
from jaxrnn.data.vocabulary import Text, Tokens
from jaxrnn.errors import CorpusError

_CHUNK = 1 << 20  # characters


class Corpus(NamedTuple):
    """A text and where it is from."""

    name: str  # a built-in name, or the path as it was given; of several, in one line
    path: Path | tuple[Path, ...]  # absolute; of what was named
    text: Text
    sha256: str  # of the text in UTF-8, line endings as they are here; or of the bytes

    @property
    def tokens(self) -> Tokens:
        """What it is made of."""
        return "bytes" if isinstance(self.text, bytes) else "characters"


def load_corpus(
    text: Texts, *, tokens: str = "characters", separator: str = "", report: Report | None = None
) -> Corpus:
    """Load a corpus by name or path; a built-in one is fetched the first time.

    Args:
        text: the name of a built-in corpus, or the path of a UTF-8 file, of any file for bytes, or of a folder of such
            files; or several of them, whose texts follow each other. A name wins over a file; `./name` forces the file.
        tokens: "characters" for a text, or "bytes" for what the file holds, as it is.
        separator: as for `read_corpus`.
        report: told how a download goes, as (what, bytes done, bytes in all or 0).

    Raises:
        CorpusError: if there is no such file, or it is not a text of at least two characters in UTF-8, or two bytes.
        DownloadError: if a built-in corpus could not be fetched, or the file in its place is another text.
    """
    return read_corpus(find_source(text, report=report), tokens, separator)


def read_corpus(source: Source, tokens: str = "characters", separator: str = "") -> Corpus:
    """Read a text whose files are found already, all of it.

    Args:
        source: the files.
        tokens: as for `load_corpus`.
        separator: one character, or "": put between two files where the first does not end in it.

    Raises:
        CorpusError: as for `load_corpus`.
    """
    files = source.files
    name = files[0].name if len(files) == 1 else shown(source.name)
    read = (read_bytes(file.path, file.name) for file in files)
    content: Text
    if tokens == "bytes":
        content = check_is_enough(join_parts(read, separating_bytes(separator)), name)
    else:
        decoded = (decode_part(data, file.name) for data, file in zip(read, files, strict=True))
        content = check_is_enough(join_parts(decoded, separator), name)
    return Corpus(source.name, source.path, content, _sha256(content))


def find_corpus(
    names: Sequence[Texts],
    sha256: str,
    *,
    tokens: str = "characters",
    separator: str = "",
    report: Report | None = None,
) -> Corpus:
    """Find the text that a run learns from, wherever it is now.

    Args:
        names: where it may be, by name or path, the likeliest first; then every text in the data folder is looked at,
            or every file for bytes, but for those that are too large to be read just for that.
        sha256: of the text.
        tokens: as for `load_corpus`.
        separator: as for `read_corpus`.
        report: as for `load_corpus`.

    Raises:
        CorpusError: if it is in none of these places; the message is about the first of them.
    """
    problem: CorpusError | None = None
    for name in names:
        try:
            corpus = load_corpus(name, tokens=tokens, separator=separator, report=report)
        except CorpusError as error:
            problem = problem or error
            continue
        if corpus.sha256 == sha256:
            return corpus
        problem = problem or changed_text(name)
    for path in sorted(data_folder().glob("*" if tokens == "bytes" else "*.txt")):
        with contextlib.suppress(CorpusError, OSError):
            if tokens == "bytes" and not _holds(path, sha256):
                continue
            if tokens != "bytes" and path.stat().st_size > RESIDENT_BYTES:
                continue
            corpus = load_corpus(str(path.absolute()), tokens=tokens, report=report)
            if corpus.sha256 == sha256:
                return corpus
    raise problem or CorpusError("no text is named")


def changed_text(name: Texts) -> CorpusError:
    """What to raise where a run's text should be and another is."""
    changed = f"{shown(several(name))} is not the text that the run began with (another SHA-256)"
    return CorpusError(f"{changed}: put that back, or start a new run")


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file has this SHA-256, without holding all of it in memory: among any files there may be large ones."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def split_lengths(length: int, validation_fraction: float) -> tuple[int, int]:
    """How many tokens of a text are trained on and how many, at its end, held out."""
    # The small term undoes rounding: 10 * (1 - 0.9) is a hair below 1.
    training = int(length * (1 - validation_fraction) + 1e-6)
    return training, length - training


def split_corpus(
    ids: npt.NDArray[Any], validation_fraction: float
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Divide a corpus in two without copying it.

    Args:
        ids: the whole text [S].
        validation_fraction: the part to hold out, from 0 up to, not including, 1.

    Returns:
        (what to train on, what is held out): the held-out part is the end of the text, in one piece.
    """
    training, _ = split_lengths(len(ids), validation_fraction)
    return ids[:training], ids[training:]


def check_lengths(corpus: Corpus, config: Config) -> None:
    """Make sure that both parts of a corpus hold at least one batch.

    Training on streams (`stateful`) needs `batch_size * (seq_len + 1) + 1` characters, on random windows
    `seq_len + 1`; held-out text, where there is to be any, 2. Bytes count like characters.

    Raises:
        CorpusError: if a part is too short. The message has the numbers, and values that would fit.
    """
    check_length(corpus.name, len(corpus.text), corpus.tokens, config)


def check_length(name: str, length: int, tokens: str, config: Config) -> None:
    """What `check_lengths` does, for a text of which only name, length and kind are known.

    Raises:
        CorpusError: as `check_lengths`.
    """
    train, fraction = config.train, config.corpus.validation_fraction
    training, held_out = split_lengths(length, fraction)
    have = f"{shown(name)} has {length:,} {tokens}, {training:,} to train on and {held_out:,} held out"
    sizes, needed = f"seq_len = {train.seq_len}", train.seq_len + 1
    if train.stateful:
        sizes, needed = f"batch_size = {train.batch_size} with {sizes}", train.batch_size * needed + 1
    if training < needed:
        remedy = " or ".join([*_fitting_sizes(training, config), "a longer text"])
        raise CorpusError(f"{have}; {sizes} needs {needed:,} to train on: try {remedy}")
    if fraction > 0 and held_out < 2:
        raise CorpusError(
            f"{have}; held-out text needs 2: try a larger validation_fraction, 0 to hold out nothing, "
            "or a longer text"
        )


def _fitting_sizes(training: int, config: Config) -> list[str]:
    """The largest sizes that this many characters are enough for: one of them changed where that does, else both."""
    batch_size, seq_len = config.train.batch_size, config.train.seq_len
    if not config.train.stateful:
        return [f"seq_len = {training - 1}"] if training >= 2 else []
    streams = (training - 1) // (seq_len + 1)
    steps = (training - 1) // batch_size - 1
    choices = [f"batch_size = {streams}"] if streams >= 1 else []
    if steps >= 1:
        choices.append(f"seq_len = {steps}")
    if not choices and training >= 3:
        choices.append(f"batch_size = 1 with seq_len = {training - 2}")
    return choices


def _sha256(text: Text) -> str:
    if isinstance(text, bytes):
        return hashlib.sha256(text).hexdigest()
    digest = hashlib.sha256()
    for start in range(0, len(text), _CHUNK):
        digest.update(text[start : start + _CHUNK].encode("utf-8"))
    return digest.hexdigest()
