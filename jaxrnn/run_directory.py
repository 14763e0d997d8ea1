"""The run directory: one folder that holds all there is to know about one training run.

    run.json          this format's version, the corpus and its hash, the versions that wrote it
    config.toml       every value the run used
    vocabulary.json   the characters, in the order of their ids
    metrics.csv       one row an event, `METRICS_COLUMNS`
    samples.txt       text sampled while it learned
    steps/            the last and the best checkpoint (`jaxrnn.checkpoint`)

A new run is built in a hidden folder beside its destination and appears by one rename, whole, with a first
checkpoint inside. Overwriting moves the old run aside, puts the new one in its place, and only then deletes.
"""

import contextlib
import csv
import difflib
import fcntl
import importlib.metadata
import io
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jaxrnn
from jaxrnn.config import Config, dump_config, parse_config
from jaxrnn.disk import append_text, put_in_place, remove_tree, sync_tree, try_remove_tree, write_text
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn.vocabulary import Vocabulary, vocabulary_from_json, vocabulary_to_json

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
    "characters",
    "train_loss",
    "val_loss",
    "bits_per_char",
    "learning_rate",
    "grad_norm",
    "chars_per_second",
    "seconds",
    "event",
)

# What makes a folder a run to us. Nothing without it in its run.json is ever overwritten or deleted.
_KIND = "jaxrnn run"


class RunExistsError(CheckpointError):
    """A run is in the way of a new one: resume it, overwrite it, or write elsewhere."""


class RunRecord(NamedTuple):
    """What run.json says about a run."""

    corpus: str  # a built-in name, or the path as it was given
    corpus_path: str  # absolute
    corpus_sha256: str  # of the normalised text in UTF-8
    jaxrnn_version: str
    jax_version: str
    created: str  # ISO 8601, UTC
    format_version: int = FORMAT_VERSION


def new_record(corpus: str, corpus_path: Path, corpus_sha256: str) -> RunRecord:
    """Returns the record of a run that starts now, with the versions installed here."""
    return RunRecord(
        corpus=corpus,
        corpus_path=str(corpus_path.absolute()),
        corpus_sha256=corpus_sha256,
        jaxrnn_version=jaxrnn.__version__,
        jax_version=importlib.metadata.version("jax"),  # without the half second that importing jax takes
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


# Finding a run.


def is_run(path: Path) -> bool:
    """Whether `path` is a run directory, of whatever format version."""
    try:
        return _is_record(json.loads((path / RECORD).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False


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
                raise CheckpointError(f"{path}: no run directory ({_why_no_run(path)})")
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


def _why_no_run(path: Path) -> str:
    return f"its {RECORD} can't be read as one" if (path / RECORD).exists() else f"it has no {RECORD}"


def _is_plain(name: str) -> bool:
    """Whether `name` names an entry of a directory, visible and inside it, and nothing else."""
    return bool(name) and not name.startswith(".") and not re.search(r"[/\x00-\x1f\x7f]", name)


# Making a run.


def check_destination(path: Path, *, overwrite: bool = False) -> None:
    """Refuses a place where no new run can go; writes nothing. Missing parents are fine.

    Args:
        path: where the run is to appear.
        overwrite: whether a run that is there may be replaced.

    Raises:
        RunExistsError: a run is there, and `overwrite` is False.
        CheckpointError: a file, a symbolic link or a foreign folder is there, it lies inside another run or is
            the working directory, or it can't be written.
    """
    try:
        _check_destination(path, overwrite)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise CheckpointError(f"{path}: can't be used as a run directory: {_reason(error)}") from error


def _check_destination(path: Path, overwrite: bool) -> None:
    if path.name == ".." or "\0" in str(path):
        raise CheckpointError(f"{path}: no name for a run directory")
    if path.is_dir() and Path.cwd().is_relative_to(path.resolve()):
        # Renaming it would pull the ground from under the shell.
        raise CheckpointError(f"{path}: the working directory lies here; name another run directory")
    target = _absolute(path)
    if path.is_symlink():
        raise CheckpointError(f"{path}: a symbolic link, which is never replaced; name what it points to")
    if target.is_dir():
        if is_run(target):
            if not overwrite:
                raise RunExistsError(f"{path}: a run exists here: resume it, overwrite it, or go elsewhere")
        elif any(target.iterdir()):
            raise CheckpointError(f"{path}: a directory, but no run ({_why_no_run(target)}); left alone")
    elif os.path.lexists(target):
        raise CheckpointError(f"{path}: a file is here; name another run directory")
    for above in target.parents:
        if is_run(above):
            raise CheckpointError(f"{path}: lies inside the run {above}; name another run directory")
    ground = next(above for above in target.parents if os.path.lexists(above))
    if not ground.is_dir():
        raise CheckpointError(f"{path}: {ground} is no directory")
    if not os.access(ground, os.W_OK | os.X_OK):
        raise CheckpointError(f"{path}: {ground} can't be written")


def create_run(
    path: Path,
    config: Config,
    vocabulary: Vocabulary,
    record: RunRecord,
    state: Any,
    *,
    overwrite: bool = False,
) -> None:
    """Creates a run directory with its first checkpoint, step 0; it appears at `path` at once and whole.

    Args:
        path: where; missing parents are made.
        config: resolved.
        vocabulary: the characters the model knows.
        record: what to remember of the corpus and the versions.
        state: the training state before the first step, any pytree of arrays.
        overwrite: whether to replace a run that is there. It is deleted after the new one is in its place; a
            process killed in between loses neither.

    Raises:
        CheckpointError: `path` can't be used (see `check_destination`); nothing was written.
        SaveError: writing failed; what was at `path` is still there.
    """
    from jaxrnn.checkpoint import save_new  # here, so that finding and reading runs needs no jax

    check_destination(path, overwrite=overwrite)
    target = _absolute(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _tidy(target)
        check_destination(path, overwrite=overwrite)  # tidying can have brought a run back
        with _hidden_sibling(target) as new:
            # The record comes first: by it a folder left by a killed process is known as ours.
            write_text(new / RECORD, _record_to_json(record))
            write_text(new / CONFIG, dump_config(config))
            write_text(new / VOCABULARY, vocabulary_to_json(vocabulary))
            write_text(new / METRICS, _csv_line(METRICS_COLUMNS))
            write_text(new / SAMPLES, "")
            (new / STEPS).mkdir()
            save_new(new / STEPS, state)
            sync_tree(new)
            old = _sibling(target, "old") if overwrite and is_run(target) else None
            put_in_place(new, target, aside=old)
        if old is not None:
            _delete_run(old, target)
    except OSError as error:
        raise SaveError(f"{path}: the run could not be created: {_reason(error)}") from error


@contextlib.contextmanager
def _hidden_sibling(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, locked while we live; deleted if it has not been renamed by the end."""
    folder = _sibling(path, "new")
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(handle)
        try_remove_tree(folder)


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _tidy(path: Path) -> None:
    """Cleans up after processes that were killed while they created the run `path`.

    A half-made folder is deleted once nobody holds its lock, and a half-deleted one at once. A run moved aside
    is brought back if nothing has taken its place, and deleted otherwise.
    """
    pattern = re.compile(re.escape(f".{path.name}.") + r"(new|old|gone)-[0-9a-f]{8}")
    for entry in list(path.parent.iterdir()):
        match = pattern.fullmatch(entry.name)
        if match is None or entry.is_symlink() or not _is_ours(entry):
            continue
        if match[1] == "old" and not os.path.lexists(path):
            entry.rename(path)
        elif match[1] != "new" or not _is_locked(entry):
            _delete_run(entry, path)


def _is_ours(folder: Path) -> bool:
    """Whether a folder with one of our hidden names is a run, or was killed just before or after it was one."""
    return is_run(folder) or (
        folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {f".{RECORD}.new"}
    )


def _delete_run(folder: Path, path: Path) -> None:
    """Deletes what was the run `path` or was to be; what can't be deleted now stays for the next time."""
    with contextlib.suppress(OSError):
        gone = folder.rename(_sibling(path, "gone"))
        for entry in list(gone.iterdir()):
            if entry.name != RECORD:  # the record last: by it what is left is known as ours
                remove_tree(entry)
        remove_tree(gone)


def _is_locked(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _absolute(path: Path) -> Path:
    """`path` with links resolved everywhere but in its last name."""
    return path.parent.resolve() / path.name


# Reading and writing what is in a run.


def read_record(run: Path) -> RunRecord:
    """Reads run.json.

    Raises:
        CheckpointError: it is missing or damaged, or of a newer format than this version knows.
    """
    path = run / RECORD
    try:
        values = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {_reason(error)}") from error
    if not _is_record(values):
        raise CheckpointError(f"{path}: not the record of a run")
    version = values["format_version"]
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version}, written by jaxrnn {values.get('jaxrnn_version')}; "
            f"this is jaxrnn {jaxrnn.__version__}, which knows versions up to {FORMAT_VERSION}: update it"
        )
    texts = {name: values.get(name) for name in RunRecord._fields if name != "format_version"}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise CheckpointError(f"{path}: damaged: {name} is missing or no text")
    return RunRecord(**texts, format_version=version)


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
        CheckpointError: vocabulary.json is missing or can't be read.
        VocabularyError: it does not hold a vocabulary.
    """
    return vocabulary_from_json(_read(run / VOCABULARY), str(run / VOCABULARY))


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


def _record_to_json(record: RunRecord) -> str:
    return json.dumps({"kind": _KIND, **record._asdict()}, indent=2) + "\n"


def _is_record(values: object) -> bool:
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return False
    return type(values.get("format_version")) is int  # true is no version


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: can't be read: {_reason(error)}") from error


def _append(path: Path, text: str) -> None:
    try:
        append_text(path, text)
    except OSError as error:
        raise SaveError(f"{path}: can't be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
