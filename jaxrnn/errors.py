"""The exceptions of jaxrnn.

Every message is one line that names what is wrong, where (file, line, key, character), and what to do. The command line
prints that line and ends with the exit code of its type.
"""

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: "; did you mean ...?", or "" if no known name is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def counted(count: int, noun: str) -> str:
    """Return a number of things as a message has it: "1 character", "1,000 characters"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class JaxrnnError(Exception):
    """The root of every error this library raises on purpose."""


class ConfigError(JaxrnnError):
    """A configuration that can't be meant: an unknown key, a wrong type, a value out of range."""


class CorpusError(JaxrnnError):
    """A text that can't be used: missing, unreadable, not UTF-8, empty, too short."""


class DownloadError(CorpusError):
    """A built-in corpus that could not be fetched: no network, no pip, a file with the wrong hash."""


class VocabularyError(JaxrnnError):
    """A character that the vocabulary does not have, or a vocabulary that can't be read."""


class CheckpointError(JaxrnnError):
    """A run that is missing, damaged, of another shape than asked for, or in the way of a new one."""


class DamagedError(CheckpointError):
    """A corrupt file of a run: missing, truncated, or with a checksum that does not match."""


class LockedError(CheckpointError):
    """A run that another process is writing to."""


class SaveError(CheckpointError):
    """A checkpoint that could not be written: a full disk, a directory that became read-only."""


class InterchangeError(JaxrnnError):
    """A file that can't be imported, or a model that can't be exported in the format asked for."""


class JoinError(JaxrnnError):
    """Other processes that can't be joined: a port that is taken, a coordinator that can't be reached."""


class DivergenceError(JaxrnnError):
    """A training run whose numbers are not finite any more."""
