"""The corpus of a training run, read or tokenized, checked and split."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrnn.config import Config
from jaxrnn.config.fields import show
from jaxrnn.data.cache import TokenFile
from jaxrnn.data.corpus import Corpus, check_length, read_corpus, split_corpus, split_lengths
from jaxrnn.data.coverage import OnUnknown, cover, cover_tokens, describe_coverage
from jaxrnn.data.documents import resolve_separator
from jaxrnn.data.finding import find_text
from jaxrnn.data.sources import LARGEST_RESIDENT, find_source, is_streamed
from jaxrnn.data.stream import Stream, open_stream, part, vocabulary_of
from jaxrnn.data.texts import shown
from jaxrnn.data.tokenizing import tokenise, without
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, drop_unknown, encode
from jaxrnn.errors import ConfigError, CorpusError, VocabularyError
from jaxrnn.runs.directory import Ancestor, RunRecord, new_record, read_record, read_vocabulary
from jaxrnn.runs.saved_steps import find_step
from jaxrnn.runs.tensorboard import check_tensorboard
from jaxrnn.sampling.generation import prompt_ids
from jaxrnn.types import OnProgress
from jaxrnn.workflows.job import Begun, Job, Note, OnNote, ignore

Tokens = NDArray[np.unsignedinteger[Any]] | Stream


class Data(NamedTuple):
    """A corpus as token ids, in memory or on the disk; the text itself is let go."""

    config: Config  # the job's, with the separator's id in this vocabulary
    record: RunRecord
    vocabulary: Vocabulary
    train_ids: Tokens
    val_ids: Tokens

    @property
    def is_streamed(self) -> bool:
        """Whether it stays on the disk."""
        return isinstance(self.train_ids, Stream)


def load_data(job: Job, *, on_event: OnNote = ignore, on_progress: OnProgress = lambda *_: None) -> Data:
    """Read the corpus of a job, or fetch it, and check that there is enough of it.

    Args:
        job: what is to be trained.
        on_event: gets a `Note` for what a user should know.
        on_progress: told how downloads and tokenization go.

    Raises:
        CorpusError: There is no such corpus, it can't be read, or it is too short for the config; or the corpus of a
            resumed run is nowhere, or another one stands in its place.
        ConfigError: The prompt to sample from has characters that the corpus does not have; or the separator is left
            out of the corpus.
        VocabularyError: The corpus has a character that the fine-tuned model does not know, and `on_unknown` is
            "error".
        SaveError: The corpus is to be streamed, and its ids can't be written.
    """
    if job.begun:
        data = _load_again(job.config, job.begun, on_progress)
    elif job.source:
        data = _load_for(job.config, job.source, job.on_unknown, on_event, on_progress)
    else:
        text = _load(job.config, on_event, on_progress)
        if isinstance(text, _Streamed):
            vocabulary = vocabulary_of(text.ids)
            data = _prepare(job.config, text, open_stream(text.ids, vocabulary), vocabulary)
        else:
            vocabulary = build_vocabulary(text.text)
            data = _prepare(job.config, text, encode(vocabulary, text.text), vocabulary)
    return data._replace(config=resolve_separator(job.config, data.vocabulary))


def _load_again(config: Config, begun: Begun, on_progress: OnProgress) -> Data:
    """Reads the corpus of a run that is resumed, from where the config says or from wherever it is now."""
    record, vocabulary = begun.record, begun.vocabulary
    found = find_text(
        [config.corpus.text, record.corpus_path],
        record.corpus_sha256,
        vocabulary.tokens,
        config.corpus.streamed,
        config.corpus.separator,
        report=on_progress,
        tokenising=on_progress,
    )
    # Characters that the run does not have were dropped when it began; most runs have them all.
    if isinstance(found, Corpus):
        ids: Any = encode(vocabulary, drop_unknown(vocabulary, found.text))
        return _prepare(config, found, ids, vocabulary)._replace(record=record)
    found = without(found, vocabulary.characters, report=on_progress)
    again = _Streamed(record.corpus, Path(), record.corpus_sha256, found)
    return _prepare(config, again, open_stream(found, vocabulary), vocabulary)._replace(record=record)


def _load_for(
    config: Config, source: Path, on_unknown: OnUnknown, on_event: OnNote, on_progress: OnProgress
) -> Data:
    """Reads the corpus that a trained model is to learn, and says how many of its characters are new to the model."""
    vocabulary = read_vocabulary(source)
    text = _load(config, on_event, on_progress)
    ids: Any
    if isinstance(text, _Streamed):
        vocabulary, written, coverage = cover_tokens(
            vocabulary, text.ids, on_unknown, shown(text.name), report=on_progress
        )
        ids = open_stream(written, vocabulary)
    else:
        vocabulary, known, coverage = cover(vocabulary, text.text, on_unknown, shown(text.name))
        ids = encode(vocabulary, known)
    if vocabulary.tokens == "characters":  # a model of bytes knows them all
        on_event(Note(describe_coverage(coverage, on_unknown)))
    if on_unknown == "drop" and config.corpus.separator in coverage.new:
        raise ConfigError(
            f"corpus.separator = {show(config.corpus.separator)}: the model does not know it, and --on-unknown drop "
            "leaves it out of the corpus; --on-unknown extend gives it weights"
        )
    record, step = read_record(source), find_step(source, "best").step
    ancestor = Ancestor(str(source.resolve()), step, record.corpus, record.corpus_sha256)
    return _prepare(config, text, ids, vocabulary, (*record.history, ancestor))


class _Streamed(NamedTuple):
    """A corpus that stays on the disk."""

    name: str
    path: Path | tuple[Path, ...]
    sha256: str
    ids: TokenFile


def _load(config: Config, on_event: OnNote, on_progress: OnProgress) -> Corpus | _Streamed:
    """The corpus of a config: read, or its ids written where it is to be streamed and they are not there yet."""
    corpus = config.corpus
    source = find_source(corpus.text, report=on_progress)
    if len(source.files) > 1:
        on_event(Note(f"{source.name}: {len(source.files):,} files, {source.size / 1e6:,.1f} MB"))
    if not is_streamed(corpus.streamed, source):
        return read_corpus(source, corpus.tokens, corpus.separator)
    ids = tokenise(source, corpus.tokens, corpus.separator, report=on_progress)
    return _Streamed(source.name, source.path, ids.text_sha256, ids)


def _prepare(
    config: Config,
    text: Corpus | _Streamed,
    ids: Tokens,
    vocabulary: Vocabulary,
    history: tuple[Ancestor, ...] = (),
) -> Data:
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
        return Data(config, record, vocabulary, part(ids, 0, training), part(ids, training, len(ids)))
    if len(ids) > LARGEST_RESIDENT:
        most = f"{LARGEST_RESIDENT:,} are the most that fit on a device"
        raise CorpusError(
            f"{shown(text.name)} has {len(ids):,} {config.corpus.tokens}, and {most}: "
            'set corpus.streamed to "auto"'
        )
    train_ids, val_ids = split_corpus(ids, fraction)
    return Data(config, record, vocabulary, train_ids, val_ids)
