"""The run directory: one folder that holds all there is to know about one training run.

    run.json          the format version, the corpus and its hash, the versions that wrote it
    config.toml       every value the run used
    vocabulary.json   the tokens, in the order of their ids
    metrics.csv       one row per event, `METRICS_COLUMNS`
    samples.txt       text sampled during training
    steps/            the last two checkpoints and the best (`jaxrnn.runs.saving`)
    .lock             the process that writes to it, or did (`jaxrnn.runs.lock`)

A run is created in `jaxrnn.runs.creation`; here it is found, read and added to. metrics.csv and samples.txt only grow,
and a checkpoint records their lengths: to resume from it is to cut them to those.
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

_KIND = "jaxrnn run"  # in run.json: no folder without it is ever overwritten or deleted
_SEAL = "# SHA-256 of the lines above: "


class Ancestor(NamedTuple):
    """A run that another was fine-tuned from, as it was then."""

    run: str  # its name
    step: int  # of the checkpoint that was loaded
    corpus: str
    corpus_sha256: str


class RunRecord(NamedTuple):
    """The content of run.json."""

    corpus: str  # a built-in name, or the path as it was given; of several, in one line
    corpus_path: Texts  # absolute
    corpus_sha256: str  # of the normalized text in UTF-8, or of the bytes; "" where it has no corpus
    vocabulary_sha256: str  # of vocabulary.json's characters in UTF-8; of bytes, after the word "bytes"
    jaxrnn_version: str
    jax_version: str
    created: str  # ISO 8601, UTC
    validation_path: Texts = ""  # absolute; "" where no text is for validation alone
    validation_sha256: str = ""  # as of the corpus
    test_path: Texts = ""  # as for validation; the text is not read before it is evaluated on
    history: tuple[Ancestor, ...] = ()  # the runs it was fine-tuned from, the oldest first
    imported_from: str = (
        ""  # name of another program's file that its parameters are from; it has no corpus then
    )
    imported_sha256: str = ""  # of that file
    format_version: int = FORMAT_VERSION


def new_record(
    corpus: str,
    corpus_path: Path | tuple[Path, ...],
    corpus_sha256: str,
    vocabulary: Vocabulary,
    history: tuple[Ancestor, ...] = (),
) -> RunRecord:
    """Return the record of a run that starts now, with the versions installed here."""
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
    """Return the absolute path of a corpus as text, or those of several."""
    return str(path.absolute()) if isinstance(path, Path) else tuple(str(each.absolute()) for each in path)


# Finding a run.


def is_run(path: Path) -> bool:
    """Return whether `path` is a run directory, of any format version."""
    try:
        return _is_record(json.loads(read_file(path / RECORD)))
    except (OSError, ValueError, RecursionError, DamagedError):
        return False


def why_no_run(path: Path) -> str:
    """Return what a path lacks that is not a run, for a message."""
    return f"its {RECORD} can't be read as one" if (path / RECORD).exists() else f"it has no {RECORD}"


def default_run(config: str) -> Path:
    """Return the run directory of a config without `--to`: `checkpoints/` and the name of the config.

    Args:
        config: The path or name of the config file, with or without `.toml`.

    Raises:
        CheckpointError: No folder can have that name (such as `..`).
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
    is_path = "/" in name or name in (".", "..", "~")
    return user_path(name) if is_path else RUNS / name  # also a hidden name


def find_run(name: str | None = None) -> Path:
    """Find the run that a user means.

    Args:
        name: A run directory, or the bare name of one in `checkpoints/`. None: the run there that saved last.

    Raises:
        CheckpointError: There is no such run, or what is there is not one.
    """
    if name is None:
        return _newest_run()
    candidates = list(dict.fromkeys([user_path(name), find_destination(name)])) if name else []
    for path in candidates:
        if is_run(path):
            return path
    for path in candidates:
        if os.path.lexists(path):
            raise CheckpointError(f"{path}: no run directory ({why_no_run(path)})")
    known = sorted(path.name for path in _runs())
    hint = did_you_mean(name, known) or f"; in {RUNS}/: {', '.join(known) or 'none'}"
    raise CheckpointError(f"{name or repr(name)}: no such run{hint}")


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
    """Return whether `name` is that of an entry of a directory, visible and inside it."""
    return bool(name) and not name.startswith(".") and not re.search(r"[/\x00-\x1f\x7f]", name)


# Reading and writing the files of a run.


def write_record(run: Path, record: RunRecord) -> None:
    """Write run.json, which makes the folder `run` a run.

    Raises:
        OSError: It can't be written.
    """
    history = [ancestor._asdict() for ancestor in record.history]
    values = {"kind": _KIND, **record._asdict(), "history": history}
    write_text(run / RECORD, json.dumps(values, indent=2) + "\n")


def read_record(run: Path) -> RunRecord:
    """Read run.json.

    Raises:
        CheckpointError: It is missing or damaged, or has another format version.
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
                if not re.fullmatch(pattern, text):  # a TypeError where it is no text
                    raise DamagedError(f"{path}: damaged: {name} is {text!r}")
            if is_list:
                values[name] = tuple(value)
        return RunRecord(**values, history=history)


def check_version(path: Path, version: object) -> None:
    """Refuse a file of another format.

    Raises:
        CheckpointError: The version is not `FORMAT_VERSION`.
    """
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version}, but jaxrnn {jaxrnn.__version__} reads version {FORMAT_VERSION} alone; "
            "use the jaxrnn that wrote it, or train again"
        )


def write_config(run: Path, config: Config) -> None:
    """Write the config that the run resumes with.

    Raises:
        SaveError: It can't be written.
    """
    with writing(run / CONFIG):
        write_text(run / CONFIG, _seal(dump_config(config)))


def read_config(run: Path) -> Config:
    """Read the resolved config of a run.

    Raises:
        DamagedError: config.toml is missing, or was changed since jaxrnn wrote it.
        ConfigError: It does not hold a valid config.
    """
    path = run / CONFIG
    with reading(path):
        text = read_file(path).decode()
    if text != _seal(text.rpartition(_SEAL)[0]):
        raise DamagedError(
            f"{path}: damaged, or edited since; undo that, and change values by --resume with --set"
        )
    return parse_config(text, str(path))


def files_read(run: Path) -> list[Path]:
    """Return the files and folders of a run that are read later, and its corpus: no output may replace them.

    Raises:
        CheckpointError: run.json is damaged, or has another format version.
    """
    corpus = read_record(run).corpus_path
    texts = (corpus,) if isinstance(corpus, str) else corpus
    ours = (RECORD, CONFIG, VOCABULARY, METRICS, SAMPLES, STEPS)
    return [*(run / name for name in ours), *(Path(text) for text in texts if text)]


def read_vocabulary(run: Path) -> Vocabulary:
    """Read the vocabulary of a run, with the separator of its config.

    Raises:
        DamagedError: vocabulary.json is missing, or not the vocabulary that the run was created with.
        VocabularyError: It does not hold a vocabulary.
        ConfigError: The config is not valid.
    """
    path = run / VOCABULARY
    with reading(path):
        text = read_file(path).decode()
    vocabulary = vocabulary_from_json(text, str(path))
    if _hash(vocabulary) != read_record(run).vocabulary_sha256:
        raise DamagedError(f"{path}: damaged: not the vocabulary that the run was created with")
    return with_separator(vocabulary, read_config(run).corpus.separator)


def read_file(path: Path) -> bytes:
    """Return the content of a file, unless it is one that may never end, such as a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedError(f"{path}: damaged: not a regular file")
    return path.read_bytes()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file of a run is read into one line that names it.

    Raises:
        DamagedError: Any error but the next two.
        CheckpointError: The file may not be read, which is no damage.
        JaxrnnError: It was one already.
    """
    try:
        yield
    except JaxrnnError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: can't be read: {reason(error)}") from error
    except Exception as error:  # JSON and orbax answer damage with errors of every type
        raise DamagedError(f"{path}: damaged: {reason(error)}") from error


# The logs.


def append_metrics(run: Path, row: Mapping[str, object]) -> None:
    """Append one row to metrics.csv.

    Args:
        run: The run directory.
        row: Values by column of `METRICS_COLUMNS`; a column that is absent or None stays empty.

    Raises:
        SaveError: The file can't be written.
    """
    if unknown := row.keys() - set(METRICS_COLUMNS):
        raise ValueError(f"metrics.csv has no column {', '.join(sorted(unknown))}")
    cells = (row.get(column) for column in METRICS_COLUMNS)
    with writing(run / METRICS):
        append_text(run / METRICS, ",".join("" if cell is None else str(cell) for cell in cells) + "\n")


def append_sample(run: Path, step: int, text: str) -> None:
    """Append a text sampled after `step` steps to samples.txt.

    Raises:
        SaveError: The file can't be written.
    """
    with writing(run / SAMPLES):
        append_text(run / SAMPLES, f"--- step {step} ---\n{text}\n\n")


def log_lengths(run: Path) -> dict[str, int]:
    """Return how many bytes the logs of a run have: metrics.csv and samples.txt."""
    return {path.name: path.lstat().st_size for path in (run / METRICS, run / SAMPLES) if path.exists()}


def cut_logs(run: Path, lengths: Mapping[str, int]) -> None:
    """Cut off the logs what was written after a checkpoint at which they had these lengths.

    Raises:
        SaveError: A log can't be written.
    """
    for name in lengths.keys() & {METRICS, SAMPLES}:
        with writing(run / name), contextlib.suppress(FileNotFoundError):
            cut(run / name, lengths[name])


def _is_record(values: object) -> bool:
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return False
    return type(values.get("format_version")) is int  # true is no version


def _seal(config: str) -> str:
    """Return a config with its hash in a last line, so that a changed bit or line is noticed."""
    return f"{config}{_SEAL}{hashlib.sha256(config.encode()).hexdigest()}\n"


def _hash(vocabulary: Vocabulary) -> str:
    # No characters in order begin like this word: a vocabulary of one kind is never taken for one of the other.
    kind = b"" if vocabulary.tokens == "characters" else vocabulary.tokens.encode()
    return hashlib.sha256(kind + vocabulary.characters.encode("utf-8", "surrogatepass")).hexdigest()
