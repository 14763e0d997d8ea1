"""The run directory: one folder that holds all there is to know about one training run.

    run.json          this format's version, the corpus and its hash, the versions that wrote it
    config.toml       every value the run used
    vocabulary.json   the characters, in the order of their ids
    metrics.csv       one row an event, `METRICS_COLUMNS`
    samples.txt       text sampled while it learned
    steps/            the last two checkpoints and the best (`jaxrnn.runs.saving`)
    .lock             who writes to it, or did (`jaxrnn.runs.lock`)

How a run comes to be is in `jaxrnn.runs.creation`; here are its names, its record, how it is found, read and added to.
"""

import contextlib
import csv
import difflib
import hashlib
import importlib.metadata
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import jaxrnn
from jaxrnn.config import Config, Texts, dump_config, parse_config
from jaxrnn.data.vocabulary import Vocabulary, vocabulary_from_json
from jaxrnn.disk import append_text, reason, write_text
from jaxrnn.errors import CheckpointError, DamagedError, SaveError

FORMAT_VERSION = 1
RUNS = Path("checkpoints")
RECORD = "run.json"
CONFIG = "config.toml"
VOCABULARY = "vocabulary.json"
METRICS = "metrics.csv"
SAMPLES = "samples.txt"
STEPS = "steps"

METRICS_COLUMNS = (
    "step",
    "tokens",
    "train_loss",
    "val_loss",
    "bits_per_token",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "seconds",
    "event",
)

# What makes a folder a run to us. Nothing without it in its run.json is ever overwritten or deleted.
_KIND = "jaxrnn run"


class Ancestor(NamedTuple):
    """A run that another was fine-tuned from, as it was then."""

    run: str  # absolute path
    step: int  # of the checkpoint that was taken
    corpus: str
    corpus_sha256: str


class RunRecord(NamedTuple):
    """What run.json says about a run."""

    corpus: str  # a built-in name, or the path as it was given; of several, in one line
    corpus_path: Texts  # absolute
    corpus_sha256: str  # of the normalised text in UTF-8, or of the bytes
    vocabulary_sha256: str  # of vocabulary.json's characters in UTF-8; of bytes, after the word "bytes"
    jaxrnn_version: str
    jax_version: str
    created: str  # ISO 8601, UTC
    history: tuple[Ancestor, ...] = ()  # the runs it was fine-tuned from, the oldest first
    imported_from: str = ""  # the file of another program that its parameters are from; it has no corpus then
    imported_sha256: str = ""  # of that file
    format_version: int = FORMAT_VERSION


def new_record(
    corpus: str,
    corpus_path: Path | tuple[Path, ...],
    corpus_sha256: str,
    vocabulary: Vocabulary,
    history: tuple[Ancestor, ...] = (),
) -> RunRecord:
    """Returns the record of a run that starts now, with the versions installed here."""
    return RunRecord(
        corpus=corpus,
        corpus_path=str(corpus_path.absolute())
        if isinstance(corpus_path, Path)
        else tuple(str(path.absolute()) for path in corpus_path),
        corpus_sha256=corpus_sha256,
        vocabulary_sha256=_hash(vocabulary),
        history=history,
        jaxrnn_version=jaxrnn.__version__,
        jax_version=importlib.metadata.version("jax"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


# Finding a run.


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory, of whatever format version."""
    try:
        return _is_record(json.loads((path / RECORD).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False


def why_no_run(path: Path) -> str:
    """Returns what a directory lacks that is no run, for a message."""
    return f"its {RECORD} can't be read as one" if (path / RECORD).exists() else f"it has no {RECORD}"


def default_run(config: str) -> Path:
    """Returns where a run goes when nobody says: `checkpoints/` and the name of its config.

    Args:
        config: the path or name of the config file, with or without `.toml`.

    Raises:
        CheckpointError: that name is none a folder can have (`..`, say).
    """
    name = Path(config).name.removesuffix(".toml")
    if not _is_plain(name):
        raise CheckpointError(f"{config}: no run can be named after this file; name a run directory")
    return RUNS / name


def find_destination(name: str) -> Path:
    """Return the run directory that a user names for a new run: a path as it is, a bare name inside `checkpoints/`.

    Raises:
        CheckpointError: the name is empty.
    """
    if not name:
        raise CheckpointError("--to: is empty; name a run directory")
    return Path(name) if "/" in name or name in (".", "..") else RUNS / name


def find_run(name: str | None = None) -> Path:
    """Finds the run that a user means.

    Args:
        name: a run directory, or the bare name of one in `checkpoints/`. None: the run there that saved last.

    Raises:
        CheckpointError: there is no such run, or what is there is not one.
    """
    if name is None:
        return _newest_run()
    candidates = [Path(name)] if name else []
    if _is_plain(name):
        candidates.append(RUNS / name)
    for path in candidates:
        if is_run(path):
            return path
    for path in candidates:
        with contextlib.suppress(OSError):  # a name too long for the disk, say
            if path.is_dir():
                raise CheckpointError(f"{path}: no run directory ({why_no_run(path)})")
            if os.path.lexists(path):
                raise CheckpointError(f"{path}: no run directory but a file")
    known = [path.name for path in _runs()]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"in {RUNS}/: {', '.join(sorted(known)) or 'none'}"
    raise CheckpointError(f"{name or repr(name)}: no such run; {hint}")


def _newest_run() -> Path:
    # A save renames a checkpoint into steps/, so this folder's time is the time of the last save.
    runs = [((path / STEPS).stat().st_mtime_ns, path) for path in _runs() if (path / STEPS).is_dir()]
    if not runs:
        raise CheckpointError(f"{RUNS}: no run here yet; train one, or name a run directory")
    return max(runs)[1]


def _runs() -> list[Path]:
    try:
        return [path for path in RUNS.iterdir() if not path.name.startswith(".") and is_run(path)]
    except OSError:
        return []


def _is_plain(name: str) -> bool:
    """Whether `name` names an entry of a directory, visible and inside it, and nothing else."""
    return bool(name) and not name.startswith(".") and not re.search(r"[/\x00-\x1f\x7f]", name)


# Reading and writing what is in a run.


def write_record(run: Path, record: RunRecord) -> None:
    """Writes run.json, which makes the folder `run` a run.

    Raises:
        OSError: it can't be written.
    """
    history = [ancestor._asdict() for ancestor in record.history]
    values = {"kind": _KIND, **record._asdict(), "history": history}
    write_text(run / RECORD, json.dumps(values, indent=2) + "\n")


def read_record(run: Path) -> RunRecord:
    """Reads run.json.

    Raises:
        CheckpointError: it is missing or damaged, or of a newer format than this version knows.
    """
    path = run / RECORD
    try:
        values = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {reason(error)}") from error
    if not _is_record(values):
        raise CheckpointError(f"{path}: not the record of a run")
    version = values["format_version"]
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version}, written by jaxrnn {values.get('jaxrnn_version')}; "
            f"this is jaxrnn {jaxrnn.__version__}, which knows versions up to {FORMAT_VERSION}: update it"
        )
    for added in ("vocabulary_sha256", "imported_from", "imported_sha256"):  # the first runs had none
        values.setdefault(added, "")
    texts = {
        name: values.get(name) for name in RunRecord._fields if name not in ("format_version", "history")
    }
    if isinstance(texts["corpus_path"], list) and all(isinstance(path, str) for path in texts["corpus_path"]):
        texts["corpus_path"] = tuple(texts["corpus_path"])
    for name, text in texts.items():
        if not isinstance(text, str) and not (name == "corpus_path" and isinstance(text, tuple)):
            raise DamagedError(f"{path}: damaged: {name} is missing or no text")
    return RunRecord(**texts, history=_read_history(values.get("history", []), path), format_version=version)


def _read_history(values: object, path: Path) -> tuple[Ancestor, ...]:
    try:
        if not isinstance(values, list):
            raise TypeError
        return tuple(Ancestor(**ancestor) for ancestor in values)
    except TypeError:
        raise DamagedError(f"{path}: damaged: history is not a list of runs") from None


def read_config(run: Path) -> Config:
    """Reads the resolved config of a run.

    Raises:
        CheckpointError: config.toml is missing.
        ConfigError: it does not hold a valid config.
    """
    return parse_config(_read(run / CONFIG), str(run / CONFIG))


def read_vocabulary(run: Path) -> Vocabulary:
    """Reads the vocabulary of a run.

    Raises:
        DamagedError: it is not the vocabulary that the run was made with.
        CheckpointError: vocabulary.json is missing or can't be read.
        VocabularyError: it does not hold a vocabulary.
    """
    vocabulary = vocabulary_from_json(_read(run / VOCABULARY), str(run / VOCABULARY))
    expected = read_record(run).vocabulary_sha256
    if expected and _hash(vocabulary) != expected:
        raise DamagedError(f"{run / VOCABULARY}: damaged: not the characters that the run was made with")
    return vocabulary


def write_config(run: Path, config: Config) -> None:
    """Writes the config that the run goes on with.

    Raises:
        SaveError: it can't be written.
    """
    try:
        write_text(run / CONFIG, dump_config(config))
    except OSError as error:
        raise SaveError(f"{run / CONFIG}: can't be written: {reason(error)}") from error


def append_metrics(run: Path, row: Mapping[str, object]) -> None:
    """Appends one row to metrics.csv.

    Args:
        run: the run directory.
        row: values by column of `METRICS_COLUMNS`; a column that is absent or None stays empty.

    Raises:
        SaveError: the file can't be written.
    """
    unknown = set(row) - set(METRICS_COLUMNS)
    if unknown:
        raise ValueError(f"metrics.csv has no column {', '.join(sorted(unknown))}")
    _append(run / METRICS, _csv_line([row.get(column) for column in METRICS_COLUMNS]))


def append_sample(run: Path, step: int, text: str) -> None:
    """Appends a text sampled after `step` steps to samples.txt.

    Raises:
        SaveError: the file can't be written.
    """
    _append(run / SAMPLES, f"--- step {step} ---\n{text}\n\n")


def _is_record(values: object) -> bool:
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return False
    return type(values.get("format_version")) is int  # true is no version


def _hash(vocabulary: Vocabulary) -> str:
    # No characters in order begin like this word: a vocabulary of one kind is never taken for one of the other.
    kind = b"" if vocabulary.tokens == "characters" else vocabulary.tokens.encode()
    return hashlib.sha256(kind + vocabulary.characters.encode("utf-8", "surrogatepass")).hexdigest()


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from error


def _append(path: Path, text: str) -> None:
    try:
        append_text(path, text)
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {reason(error)}") from error
