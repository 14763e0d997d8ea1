"""The exceptions of jaxrnn.

Every message is one line: what is wrong, where (file, line, key, character), and what to do. The command line prints
the message and exits with the exit code of its type.
"""

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: "; did you mean ...?", or "" if no known name is similar."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 character", "1,000 characters"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class JaxrnnError(Exception):
    """The base class of the exceptions that jaxrnn raises."""


class ConfigError(JaxrnnError):
    """An invalid config: an unknown key, a wrong type, a value out of range."""


class CorpusError(JaxrnnError):
    """A corpus that can't be used: missing, unreadable, not UTF-8, empty, too short."""


class DownloadError(CorpusError):
    """A built-in corpus that could not be fetched: no network, no pip, a file with the wrong hash."""


class VocabularyError(JaxrnnError):
    """A character that is not in the vocabulary, or a vocabulary that can't be read."""


class CheckpointError(JaxrnnError):
    """A run that is missing, corrupt, of another shape than requested, or in the place of a new one."""


class DamagedError(CheckpointError):
    """A corrupt file of a run: missing, truncated, or with a checksum that does not match."""


class LockedError(CheckpointError):
    """A run that another process is writing to."""


class SaveError(CheckpointError):
    """A file that could not be written: the disk is full, the directory is read-only."""


class InterchangeError(JaxrnnError):
    """A file that can't be imported, or a model that can't be exported to the requested format."""


class JoinError(JaxrnnError):
    """A failure to join other processes: the port is taken, the coordinator can't be reached."""


class DivergenceError(JaxrnnError):
    """A training run whose loss or gradients are no longer finite."""
