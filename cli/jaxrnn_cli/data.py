"""The text that a command was given, ready to be learned from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxrnn_cli import console
from jaxrnn_cli.destination import Begun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jaxrnn.config import Config
    from jaxrnn.data.cache import TokenFile
    from jaxrnn.data.corpus import Corpus
    from jaxrnn.data.stream import Stream
    from jaxrnn.data.vocabulary import Vocabulary
    from jaxrnn.runs.directory import Ancestor, RunRecord
    from jaxrnn.training.finetuning import OnUnknown


class Data(NamedTuple):
    """A text as ids, in memory or on the disk; the text itself is let go."""

    record: "RunRecord"
    vocabulary: "Vocabulary"
    train_ids: "NDArray[np.unsignedinteger[Any]] | Stream"
    val_ids: "NDArray[np.unsignedinteger[Any]] | Stream"


def load_data(config: "Config", *, quiet: bool) -> Data:
    """Reads the corpus of a config, or fetches it, and checks that there is enough of it.

    Raises:
        CorpusError: There is no such text, it can't be read, or it is too short for the config.
        ConfigError: The seed to sample from has characters that the text does not have.
        SaveError: It is to be streamed, and its ids can't be written.
    """
    from jaxrnn.data.stream import open_stream, vocabulary_of
    from jaxrnn.data.vocabulary import build_vocabulary, encode

    text = _load(config, quiet=quiet)
    if isinstance(text, _Streamed):
        vocabulary = vocabulary_of(text.ids)
        return _prepare(config, text, open_stream(text.ids, vocabulary), vocabulary)
    vocabulary = build_vocabulary(text.text)
    return _prepare(config, text, encode(vocabulary, text.text), vocabulary)


def load_data_again(config: "Config", begun: Begun, *, quiet: bool) -> Data:
    """Reads the corpus of a run that goes on, from where the config says or from wherever it is now.

    Raises:
        CorpusError: It is nowhere, or another text stands in its place.
        ConfigError: As `load_data`.
        SaveError: As `load_data`.
    """
    from jaxrnn.data.corpus import Corpus
    from jaxrnn.data.finding import find_text
    from jaxrnn.data.stream import open_stream
    from jaxrnn.data.tokenizing import without
    from jaxrnn.data.vocabulary import drop_unknown, encode

    record, vocabulary = begun.record, begun.vocabulary
    names = [config.corpus.text, record.corpus_path]
    with (
        console.download_display(quiet=quiet) as report,
        console.work_display(quiet=quiet) as tokenising,
    ):
        found = find_text(
            names,
            record.corpus_sha256,
            vocabulary.tokens,
            config.corpus.streamed,
            config.corpus.separator,
            report=report,
            tokenising=tokenising,
        )
        # Characters that the run does not have were dropped when it began; most runs have them all.
        if not isinstance(found, Corpus):
            found = without(found, vocabulary.characters, report=tokenising)
    ids: Any
    if isinstance(found, Corpus):
        ids = encode(vocabulary, drop_unknown(vocabulary, found.text))
        return _prepare(config, found, ids, vocabulary)._replace(record=record)
    ids = open_stream(found, vocabulary)
    again = _Streamed(record.corpus, Path(), record.corpus_sha256, found)
    return _prepare(config, again, ids, vocabulary)._replace(record=record)


def load_data_for(
    vocabulary: "Vocabulary",
    config: "Config",
    on_unknown: "OnUnknown",
    history: "tuple[Ancestor, ...]",
    *,
    quiet: bool,
) -> Data:
    """Reads the corpus that a trained model is to learn, and says how many of its characters are new to the model.

    Raises:
        CorpusError: As `load_data`.
        ConfigError: Likewise; or the separator is left out of the text.
        SaveError: Likewise.
        VocabularyError: The text has a character that the model does not know, and `on_unknown` is "error".
    """
    from jaxrnn.config.fields import show
    from jaxrnn.data.covering import cover_tokens
    from jaxrnn.data.stream import open_stream
    from jaxrnn.data.texts import shown
    from jaxrnn.data.vocabulary import encode
    from jaxrnn.errors import ConfigError
    from jaxrnn.training.finetuning import cover, describe_coverage

    text = _load(config, quiet=quiet)
    ids: Any
    if isinstance(text, _Streamed):
        with console.work_display(quiet=quiet) as report:
            vocabulary, written, coverage = cover_tokens(
                vocabulary, text.ids, on_unknown, shown(text.name), report=report
            )
        ids = open_stream(written, vocabulary)
    else:
        vocabulary, known, coverage = cover(vocabulary, text.text, on_unknown, shown(text.name))
        ids = encode(vocabulary, known)
    if not quiet and vocabulary.tokens == "characters":  # a model of bytes knows them all
        console.note(describe_coverage(coverage, on_unknown))
    if on_unknown == "drop" and config.corpus.separator in coverage.new:
        raise ConfigError(
            f"corpus.separator = {show(config.corpus.separator)}: the model does not know it, and --on-unknown drop "
            "leaves it out of the text; --on-unknown extend gives it weights"
        )
    return _prepare(config, text, ids, vocabulary, history)


class _Streamed(NamedTuple):
    """A text that stays on the disk."""

    name: str
    path: "Path | tuple[Path, ...]"
    sha256: str
    ids: "TokenFile"


def _load(config: "Config", *, quiet: bool) -> "Corpus | _Streamed":
    """The text of a config: read, or its ids written where it is to be streamed and they are not there yet."""
    from jaxrnn.data.corpus import read_corpus
    from jaxrnn.data.sources import find_source, is_streamed
    from jaxrnn.data.tokenizing import tokenise

    corpus = config.corpus
    with console.download_display(quiet=quiet) as report:
        source = find_source(corpus.text, report=report)
    if len(source.files) > 1 and not quiet:
        console.note(f"{source.name}: {len(source.files):,} files, {console.format_bytes(source.size)}")
    if not is_streamed(corpus.streamed, source):
        return read_corpus(source, corpus.tokens, corpus.separator)
    with console.work_display(quiet=quiet) as tokenising:
        ids = tokenise(source, corpus.tokens, corpus.separator, report=tokenising)
    return _Streamed(source.name, source.path, ids.text_sha256, ids)


def _prepare(
    config: "Config",
    text: "Corpus | _Streamed",
    ids: "NDArray[np.unsignedinteger[Any]] | Stream",
    vocabulary: "Vocabulary",
    history: "tuple[Ancestor, ...]" = (),
) -> Data:
    from jaxrnn.data.corpus import check_length, split_corpus, split_lengths
    from jaxrnn.data.sources import LARGEST_RESIDENT
    from jaxrnn.data.stream import Stream, part
    from jaxrnn.data.texts import shown
    from jaxrnn.errors import ConfigError, CorpusError, VocabularyError
    from jaxrnn.runs.directory import new_record
    from jaxrnn.runs.tensorboard import check_tensorboard
    from jaxrnn.sampling.generation import prompt_ids

    if config.log.tensorboard:
        check_tensorboard()

    check_length(text.name, len(ids), vocabulary.tokens, config)
    try:  # now, not at the first sample of a long training
        prompt_ids(vocabulary, config.sample.prompt)
    except VocabularyError as error:
        raise ConfigError(f"sample.prompt: {error}") from None
    record = new_record(text.name, text.path, text.sha256, vocabulary, history)
    fraction = config.corpus.validation_fraction
    if isinstance(ids, Stream):
        training, _ = split_lengths(len(ids), fraction)
        return Data(record, vocabulary, part(ids, 0, training), part(ids, training, len(ids)))
    if len(ids) > LARGEST_RESIDENT:
        most = f"{LARGEST_RESIDENT:,} are the most that fit on a device"
        raise CorpusError(
            f"{shown(text.name)} has {len(ids):,} {config.corpus.tokens}, and {most}: "
            'set corpus.streamed to "auto"'
        )
    train_ids, val_ids = split_corpus(ids, fraction)
    return Data(record, vocabulary, train_ids, val_ids)
