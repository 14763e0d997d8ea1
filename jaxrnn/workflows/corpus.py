"""Loading, checking and splitting of the corpus of a training run."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jaxrnn.config import Config, Texts
from jaxrnn.data.corpus import SPLITS, Corpus, check_length, find_corpus, read_corpus, split_corpus
from jaxrnn.data.coverage import OnUnknown, cover, describe_coverage, keep_known
from jaxrnn.data.sources import Source, find_source
from jaxrnn.data.tables import kind_of_table
from jaxrnn.data.texts import several
from jaxrnn.data.tokens import TokenSource
from jaxrnn.data.vocabulary import TOKENIZERS, Vocabulary, with_separator
from jaxrnn.errors import ConfigError, CorpusError, VocabularyError, counted
from jaxrnn.runs.directory import Ancestor, RunRecord, as_recorded, new_record, read_record, read_vocabulary
from jaxrnn.runs.saved_steps import Which, find_step
from jaxrnn.sampling.generation import prompt_ids
from jaxrnn.sampling.text import stop_text
from jaxrnn.types import OnProgress
from jaxrnn.workflows.job import Begun, Job, Note, OnNote, ignore


class Data(NamedTuple):
    """The corpus of a training run as token ids."""

    config: Config
    record: RunRecord
    train_ids: TokenSource
    val_ids: TokenSource

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the run."""
        return self.train_ids.vocabulary

    @property
    def is_streamed(self) -> bool:
        """Whether the corpus stays on disk."""
        return self.train_ids.file is not None


def load_data(job: Job, *, on_event: OnNote = ignore, on_progress: OnProgress = lambda *_: None) -> Data:
    """Load, tokenize and split the corpus of a job; a built-in corpus is fetched the first time.

    Args:
        job: The training run.
        on_event: Receives a `Note` for each message to the user.
        on_progress: Receives the progress of downloads and tokenization.

    Raises:
        CorpusError: The corpus is missing, can't be read, or is too short for the config; or the corpus of a resumed
            run is missing or was changed.
        ConfigError: The prompt, the stop text or the separator has a character that is not in the vocabulary.
        VocabularyError: The corpus has a character that is not in the vocabulary of the fine-tuned model, and
            `on_unknown` is "error".
        SaveError: The corpus is streamed, and the token cache can't be written.
    """
    config = job.config
    if job.path and job.begun:
        return _load_again(job.path, config, job.begun, on_progress)
    source = find_source(config.corpus, on_progress=on_progress)
    if config.corpus.field and not any(kind_of_table(file.name) for file in source.files):
        raise ConfigError("corpus.field: none of the files is CSV or JSON Lines (.csv, .jsonl)")
    validation, test = (_find_split(config, split, on_progress) for split in SPLITS)
    if len(source.files) > 1:
        on_event(Note(f"{source.name}: {len(source.files):,} files, {source.size / 1e6:,.1f} MB"))
    corpus = read_corpus(source, on_progress=on_progress)
    tokens, history = corpus.tokens, tuple[Ancestor, ...]()
    if job.source:
        tokens = _cover(corpus, job.source, job.on_unknown, on_event, on_progress)
        history = _history(job.source, job.checkpoint)
    val_ids = None
    if validation:
        held_out = read_corpus(validation, on_progress=on_progress)
        if held_out.sha256 == corpus.sha256:
            raise ConfigError("corpus.validation: is the training corpus; name another one")
        on_unknown: OnUnknown = job.on_unknown if job.source else "extend"
        val_ids, coverage = cover(tokens.vocabulary, held_out, on_unknown, on_progress=on_progress)
        if coverage.new:
            on_event(Note(f"{held_out.name}: {describe_coverage(coverage, on_unknown)}"))
        tokens = tokens.in_vocabulary(val_ids.vocabulary)
    record = new_record(corpus.name, corpus.path, corpus.sha256, tokens.vocabulary, history)
    if validation:
        record = record._replace(
            validation_path=as_recorded(held_out.path), validation_sha256=held_out.sha256
        )
    if test:
        record = record._replace(test_path=as_recorded(test.path))
    return _prepare(config, record, tokens, val_ids)


def _find_split(config: Config, split: str, on_progress: OnProgress) -> Source | None:
    """Return the separate corpus of a split; None without one."""
    text: Texts = getattr(config.corpus, split)
    return find_source(replace(config.corpus, text=text), on_progress=on_progress) if text else None


def own_corpus(run: Path, config: Config, on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Find the training corpus of a run, even if it was moved.

    Args:
        run: The run directory.
        config: The config of the run, or the one that it resumes with.
        on_progress: Receives the progress of tokenization.

    Raises:
        CorpusError: The corpus is not found, or the run was imported and has none.
    """
    record = read_record(run)
    if record.imported_from or not record.corpus_sha256:
        raise CorpusError(f"{run}: was imported, and has no corpus of its own")
    names = [record.corpus_path, config.corpus.text]
    return find_corpus(names, record.corpus_sha256, config.corpus, on_progress=on_progress)


def own_split(
    run: Path, config: Config, split: str, on_progress: OnProgress = lambda *_: None
) -> Corpus | None:
    """Find the separate corpus of a run's validation or test split, even if it was moved.

    Args:
        run: The run directory.
        config: The config of the run, or the one that it resumes with.
        split: One of `SPLITS`.
        on_progress: Receives the progress of tokenization.

    Returns:
        The corpus; None if the split is a part of the run's training corpus, or the run has no such split.

    Raises:
        CorpusError: The corpus is not found.
    """
    text: Texts = getattr(config.corpus, split)
    if not text:
        return None
    record = read_record(run)
    path, sha256 = (
        (record.validation_path, record.validation_sha256)
        if split == "validation"
        else (record.test_path, "")
    )
    return find_corpus([path or text, text], sha256, config.corpus, on_progress=on_progress)


def _load_again(run: Path, config: Config, begun: Begun, on_progress: OnProgress) -> Data:
    """Return the corpus of a resumed run; a changed `corpus.text` must name the same corpus."""
    before = begun.config.corpus.text
    try:
        if config.corpus.text == before:
            corpus = own_corpus(run, config, on_progress)
        else:
            source = find_source(config.corpus, on_progress=on_progress)
            corpus = read_corpus(source, sha256=begun.record.corpus_sha256, on_progress=on_progress)
    except CorpusError as error:
        was = "" if config.corpus.text == before else f" ({several(before)})"
        remedy = f"jaxrnn finetune --from {shlex.quote(str(run))} --corpus TEXT"
        raise type(error)(f"{error}{was}; to train on another corpus: {remedy}") from None
    # Characters not in the run's vocabulary were dropped when it began.
    tokens = keep_known(begun.vocabulary, corpus, on_progress=on_progress)
    held_out = own_split(run, config, "validation", on_progress)
    val_ids = held_out and keep_known(begun.vocabulary, held_out, on_progress=on_progress)
    return _prepare(config, begun.record, tokens, val_ids)


def _cover(
    corpus: Corpus,
    source: Path,
    on_unknown: OnUnknown,
    on_event: OnNote,
    on_progress: OnProgress,
) -> TokenSource:
    """Return the tokens for fine-tuning, and report unknown characters."""
    vocabulary = read_vocabulary(source)
    tokens, coverage = cover(vocabulary, corpus, on_unknown, on_progress=on_progress)
    if TOKENIZERS[vocabulary.tokens].is_text:  # a byte vocabulary has all bytes
        on_event(Note(describe_coverage(coverage, on_unknown)))
    return tokens


def _history(source: Path, checkpoint: Which) -> tuple[Ancestor, ...]:
    record, step = read_record(source), find_step(source, checkpoint).step
    ancestor = Ancestor(source.resolve().name, step, record.corpus, record.corpus_sha256)
    return (*record.history, ancestor)


def _prepare(config: Config, record: RunRecord, tokens: TokenSource, val_ids: TokenSource | None) -> Data:
    check_length(record.corpus, len(tokens), config)
    for key, check in (("prompt", prompt_ids), ("stop", stop_text)):
        try:  # before training, not at the first sample
            check(tokens.vocabulary, getattr(config.sample, key))
        except VocabularyError as error:
            raise ConfigError(f"sample.{key}: {error}") from None
    vocabulary = with_separator(tokens.vocabulary, config.corpus.separator)
    training, held_out, _ = split_corpus(tokens.in_vocabulary(vocabulary), *config.corpus.held_out)
    if val_ids is not None:
        held_out = val_ids.in_vocabulary(vocabulary)
        if len(held_out) < 2:
            raise CorpusError(
                f"corpus.validation: has {counted(len(held_out), config.corpus.tokens[:-1])} that the model knows"
            )
    return Data(config, record, training, held_out)
