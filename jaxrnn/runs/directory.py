"""The run directory: one folder with all files of one training run.

    run.json          the format version, the corpus and its hash, the versions of jaxrnn and JAX
    config.toml       the resolved config
    vocabulary.json   the tokens, in the order of their ids
    metrics.csv       one row per event, `METRICS_COLUMNS`
    samples.txt       text sampled during training
    steps/            the last two checkpoints and the best (`jaxrnn.runs.saving`)
    .lock             the lock of the writing process (`jaxrnn.runs.lock`)

`jaxrnn.runs.creation` creates a run; this file finds runs, reads them and appends to their logs. metrics.csv and
samples.txt only grow. Each checkpoint records their lengths, and resuming from it truncates them to these.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import jaxrnn
from jaxrnn.config import Config, Texts, dump_config, parse_config
from jaxrnn.data.vocabulary import Vocabulary, vocabulary_from_json, with_separator
from jaxrnn.disk import append_text, cut, reason, user_path, write_text, writing
from jaxrnn.errors import CheckpointError, DamagedError, JaxrnnError, did_you_mean

FORMAT_VERSION = 2  # of runs and of checkpoints
RUNS = Path("checkpoints")
RECORD = "run.json"
CONFIG = "config.toml"
VOCABULARY = "vocabulary.json"
METRICS = "metrics.csv"
SAMPLES = "samples.txt"
STEPS = "steps"

METRICS_HEAD = (
    "step,tokens,train_loss,val_loss,bits_per_token,learning_rate,grad_norm,tokens_per_second,seconds,event"
)
METRICS_COLUMNS = tuple(METRICS_HEAD.split(","))

_KIND = "jaxrnn run"  # in run.json; a folder without it is never overwritten or deleted
_SEAL = "# SHA-256 of the lines above: "


class Ancestor(NamedTuple):
    """The run that another run was fine-tuned from."""

    run: str  # its name
    step: int  # the step of the checkpoint that was loaded
    corpus: str
    corpus_sha256: str


class RunRecord(NamedTuple):
    """The content of run.json."""

    corpus: str  # a built-in name, or the path as given; several are joined in one line
    corpus_path: Texts  # absolute
    corpus_sha256: str  # of the normalized text in UTF-8, or of the bytes; "" without a corpus
    vocabulary_sha256: str  # of the characters in UTF-8; a byte vocabulary is prefixed with "bytes"
    jaxrnn_version: str
    jax_version: str
    created: str  # ISO 8601, UTC
    validation_path: Texts = ""  # absolute path of a separate validation corpus; "" without one
    validation_sha256: str = ""  # as `corpus_sha256`
    test_path: Texts = ""  # as `validation_path`; the test corpus is read only when it is evaluated
    history: tuple[Ancestor, ...] = ()  # the runs it was fine-tuned from, oldest first
    imported_from: str = ""  # name of the imported file; such a run has no corpus
    imported_sha256: str = ""  # of the imported file
    format_version: int = FORMAT_VERSION


def new_record(
    corpus: str,
    corpus_path: Path | tuple[Path, ...],
    corpus_sha256: str,
    vocabulary: Vocabulary,
    history: tuple[Ancestor, ...] = (),
) -> RunRecord:
    """Return the record of a run that starts now, with the installed versions."""
    return RunRecord(
        corpus=corpus,
        corpus_path=as_recorded(corpus_path),
        corpus_sha256=corpus_sha256,
        vocabulary_sha256=_hash(vocabulary),
        history=history,
        jaxrnn_version=jaxrnn.__version__,
        jax_version=importlib.metadata.version("jax"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def as_recorded(path: Path | tuple[Path, ...]) -> Texts:
    """Return the absolute path or paths of a corpus as strings."""
    return str(path.absolute()) if isinstance(path, Path) else tuple(str(each.absolute()) for each in path)


# Finding a run.


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory, of any format version."""
    try:
        return _is_record(json.loads(read_file(path / RECORD)))
    except (OSError, ValueError, RecursionError, DamagedError):
        return False


def why_no_run(path: Path) -> str:
    """Return why a path is not a run, for a message."""
    return f"its {RECORD} is not the record of a run" if (path / RECORD).exists() else f"it has no {RECORD}"


def default_run(config: str) -> Path:
    """Return the default run directory of a config: `checkpoints/` and the name of the config.

    Args:
        config: The path or name of the config file, with or without `.toml`.

    Raises:
        CheckpointError: The name can't be that of a folder, as `..`.
    """
    name = Path(config).name.removesuffix(".toml")
    if not _is_plain(name):
        raise CheckpointError(f"{config}: no run can be named after this file; name a run directory")
    return RUNS / name


def find_destination(name: str) -> Path:
    """Return the directory of a new run: a path stays unchanged, a bare name is put into `checkpoints/`.

    Raises:
        CheckpointError: The name is empty.
    """
    if not name:
        raise CheckpointError("--to: is empty; name a run directory")
    is_path = "/" in name or name in (".", "..", "~")
    return user_path(name) if is_path else RUNS / name


def find_run(name: str | None = None) -> Path:
    """Find a run by name.

    Args:
        name: A run directory, or the bare name of one in `checkpoints/`. None: the run there that saved last.

    Raises:
        CheckpointError: The path is missing or is not a run.
    """
    if name is None:
        return _newest_run()
    candidates = list(dict.fromkeys([user_path(name), find_destination(name)])) if name else []
    for path in candidates:
        if is_run(path):
            return path
    for path in candidates:
        if os.path.lexists(path):
            raise CheckpointError(f"{path}: not a run directory ({why_no_run(path)}); name another")
    known = sorted(path.name for path in _runs())
    hint = did_you_mean(name, known) or f"; in {RUNS}/: {', '.join(known) or 'none'}"
    raise CheckpointError(f"{name or repr(name)}: no such run{hint}")


def _newest_run() -> Path:
    # Each save renames a checkpoint into steps/, so the folder's modification time is that of the last save.
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
    """Return whether `name` is the name of a visible directory entry, not a path."""
    return bool(name) and not name.startswith(".") and not re.search(r"[/\x00-\x1f\x7f]", name)


# Reading and writing the files of a run.


def write_record(run: Path, record: RunRecord) -> None:
    """Write run.json, which marks the folder `run` as a run.

    Raises:
        OSError: The file can't be written.
    """
    history = [ancestor._asdict() for ancestor in record.history]
    values = {"kind": _KIND, **record._asdict(), "history": history}
    write_text(run / RECORD, json.dumps(values, indent=2) + "\n")


def read_record(run: Path) -> RunRecord:
    """Read run.json.

    Raises:
        CheckpointError: The file is missing or corrupt, or has another format version.
    """
    path = run / RECORD
    with reading(path):
        values = json.loads(read_file(path))
        if not _is_record(values):
            raise CheckpointError(f"{path}: not the record of a run")
        del values["kind"]
        check_version(path, values.pop("format_version"))
        history = tuple(Ancestor(**ancestor) for ancestor in values.pop("history"))
        for name, value in values.items():
            pattern = r"([0-9a-f]{64})?" if name.endswith("sha256") else r"(?s:.*)"
            is_list = name.endswith("_path") and isinstance(value, list)
            for text in value if is_list else [value]:
                if not re.fullmatch(pattern, text):  # raises TypeError if the value is not a string
                    raise DamagedError(f"{path}: corrupt: {name} is {text!r}")
            if is_list:
                values[name] = tuple(value)
        return RunRecord(**values, history=history)


def check_version(path: Path, version: object) -> None:
    """Check the format version of a file.

    Raises:
        CheckpointError: The version is not `FORMAT_VERSION`.
    """
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version}, but jaxrnn {jaxrnn.__version__} reads only version {FORMAT_VERSION}; "
            "use the jaxrnn version that wrote it, or train again"
        )


def write_config(run: Path, config: Config) -> None:
    """Write the config that the run resumes with.

    Raises:
        SaveError: The file can't be written.
    """
    with writing(run / CONFIG):
        write_text(run / CONFIG, _seal(dump_config(config)))


def read_config(run: Path) -> Config:
    """Read the resolved config of a run.

    Raises:
        DamagedError: config.toml is missing, or was changed after jaxrnn wrote it.
        ConfigError: The config is not valid.
    """
    path = run / CONFIG
    with reading(path):
        text = read_file(path).decode()
    if text != _seal(text.rpartition(_SEAL)[0]):
        raise DamagedError(f"{path}: corrupt or edited; restore it, and change values by --resume with --set")
    return parse_config(text, str(path))


def files_read(run: Path) -> list[Path]:
    """Return the files and folders of a run and its corpus, which no output may replace.

    Raises:
        CheckpointError: run.json is corrupt, or has another format version.
    """
    corpus = read_record(run).corpus_path
    paths = (corpus,) if isinstance(corpus, str) else corpus
    names = (RECORD, CONFIG, VOCABULARY, METRICS, SAMPLES, STEPS)
    return [*(run / name for name in names), *(Path(path) for path in paths if path)]


def read_vocabulary(run: Path) -> Vocabulary:
    """Read the vocabulary of a run, with the separator of its config.

    Raises:
        DamagedError: vocabulary.json is missing, or has another hash than the one in run.json.
        VocabularyError: The file is not a vocabulary.
        ConfigError: The config is not valid.
    """
    path = run / VOCABULARY
    with reading(path):
        text = read_file(path).decode()
    vocabulary = vocabulary_from_json(text, str(path))
    if _hash(vocabulary) != read_record(run).vocabulary_sha256:
        raise DamagedError(f"{path}: corrupt: not the vocabulary that the run was created with")
    return with_separator(vocabulary, read_config(run).corpus.separator)


def read_file(path: Path) -> bytes:
    """Return the content of a regular file; refuse devices and pipes, whose data may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedError(f"{path}: corrupt: not a regular file")
    return path.read_bytes()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error while a file of a run is read into a one-line message that names the file.

    Raises:
        DamagedError: Any error except the next two.
        CheckpointError: Permission to read the file is denied.
        JaxrnnError: Raised in the context; passed on unchanged.
    """
    try:
        yield
    except JaxrnnError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from error
    except Exception as error:  # JSON and orbax raise errors of many types for corrupt files
        raise DamagedError(f"{path}: corrupt: {reason(error)}") from error


# The logs.


def append_metrics(run: Path, row: Mapping[str, object]) -> None:
    """Append one row to metrics.csv.

    Args:
        run: The run directory.
        row: Values by column of `METRICS_COLUMNS`; an absent or None value leaves the column empty.

    Raises:
        SaveError: The file can't be written.
    """
    if unknown := row.keys() - set(METRICS_COLUMNS):
        raise ValueError(f"metrics.csv has no column {', '.join(sorted(unknown))}")
    cells = (row.get(column) for column in METRICS_COLUMNS)
    with writing(run / METRICS):
        append_text(run / METRICS, ",".join("" if cell is None else str(cell) for cell in cells) + "\n")


def append_sample(run: Path, step: int, text: str) -> None:
    """Append text sampled after `step` steps to samples.txt.

    Raises:
        SaveError: The file can't be written.
    """
    with writing(run / SAMPLES):
        append_text(run / SAMPLES, f"--- step {step} ---\n{text}\n\n")


def log_lengths(run: Path) -> dict[str, int]:
    """Return the sizes of metrics.csv and samples.txt in bytes."""
    return {path.name: path.lstat().st_size for path in (run / METRICS, run / SAMPLES) if path.exists()}


def cut_logs(run: Path, lengths: Mapping[str, int]) -> None:
    """Truncate the logs to their lengths in bytes at a checkpoint.

    Raises:
        SaveError: A log can't be written.
    """
    for name in lengths.keys() & {METRICS, SAMPLES}:
        with writing(run / name), contextlib.suppress(FileNotFoundError):
            cut(run / name, lengths[name])


def _is_record(values: object) -> bool:
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return False
    return type(values.get("format_version")) is int  # not isinstance, which accepts True


def _seal(config: str) -> str:
    """Return a config with its SHA-256 as the last line, so that changes are detected."""
    return f"{config}{_SEAL}{hashlib.sha256(config.encode()).hexdigest()}\n"


def _hash(vocabulary: Vocabulary) -> str:
    # Sorted characters can't begin with the word "bytes", so the two kinds of vocabulary never share a hash.
    kind = b"" if vocabulary.tokens == "characters" else vocabulary.tokens.encode()
    return hashlib.sha256(kind + vocabulary.characters.encode("utf-8", "surrogatepass")).hexdigest()
