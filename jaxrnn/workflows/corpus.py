"""The corpus of a training run: found, tokenized, checked and split."""

from pathlib import Path
from typing import NamedTuple

from jaxrnn.config import Config
from jaxrnn.data.corpus import Corpus, check_length, find_corpus, read_corpus, split_corpus
from jaxrnn.data.coverage import OnUnknown, cover, describe_coverage, keep_known
from jaxrnn.data.sources import find_source
from jaxrnn.data.tokens import TokenSource
from jaxrnn.data.vocabulary import TOKENIZERS, Vocabulary, with_separator
from jaxrnn.errors import ConfigError, CorpusError, VocabularyError
from jaxrnn.runs.directory import Ancestor, RunRecord, new_record, read_record, read_vocabulary
from jaxrnn.runs.saved_steps import find_step
from jaxrnn.runs.tensorboard import check_tensorboard
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
    """Tokenize the corpus of a job, or fetch it first, and check that there is enough of it.

    Args:
        job: what is to be trained.
        on_event: gets a `Note` for what a user should know.
        on_progress: told how downloads and tokenization go.

    Raises:
        CorpusError: There is no such corpus, it can't be read, or it is too short for the config; or the corpus of a
            resumed run is not found, or another one stands in its place.
        ConfigError: The vocabulary lacks a character of the prompt or the stop text of samples, or of the separator.
        VocabularyError: The corpus has a character that the fine-tuned model does not know, and `on_unknown` is
            "error".
        SaveError: The corpus is to be streamed, and the token cache can't be written.
    """
    config = job.config
    if job.path and job.begun:
        return _load_again(job.path, config, job.begun, on_progress)
    source = find_source(config.corpus, on_progress=on_progress)
    if len(source.files) > 1:
        on_event(Note(f"{source.name}: {len(source.files):,} files, {source.size / 1e6:,.1f} MB"))
    corpus = read_corpus(source, on_progress=on_progress)
    tokens, history = corpus.tokens, tuple[Ancestor, ...]()
    if job.source:
        tokens = _cover(corpus, job.source, job.on_unknown, on_event, on_progress)
        history = _history(job.source)
    record = new_record(corpus.name, corpus.path, corpus.sha256, tokens.vocabulary, history)
    return _prepare(config, record, tokens)


def own_corpus(run: Path, config: Config, on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Find the corpus that a run learned from, where it was or wherever it is now.

    Args:
        run: the run directory.
        config: its config, or the one that it resumes with.
        on_progress: told how tokenization goes.

    Raises:
        CorpusError: It is not found, or the run was imported and has none.
    """
    record = read_record(run)
    if record.imported_from:
        raise CorpusError(f"{run}: was imported, and has no corpus of its own")
    names = [record.corpus_path, config.corpus.text]
    return find_corpus(names, record.corpus_sha256, config.corpus, on_progress=on_progress)


def _load_again(run: Path, config: Config, begun: Begun, on_progress: OnProgress) -> Data:
    """Return the corpus of a run that is resumed."""
    corpus = own_corpus(run, config, on_progress)
    # Characters that the run does not have were dropped when it began; most runs have them all.
    return _prepare(config, begun.record, keep_known(begun.vocabulary, corpus, on_progress=on_progress))


def _cover(
    corpus: Corpus,
    source: Path,
    on_unknown: OnUnknown,
    on_event: OnNote,
    on_progress: OnProgress,
) -> TokenSource:
    """Return the corpus that a trained model is to learn; report how many of its characters are new to the model."""
    vocabulary = read_vocabulary(source)
    tokens, coverage = cover(vocabulary, corpus, on_unknown, on_progress=on_progress)
    if TOKENIZERS[vocabulary.tokens].is_text:  # a model of bytes knows them all
        on_event(Note(describe_coverage(coverage, on_unknown)))
    return tokens


def _history(source: Path) -> tuple[Ancestor, ...]:
    record, step = read_record(source), find_step(source, "best").step
    ancestor = Ancestor(str(source.resolve()), step, record.corpus, record.corpus_sha256)
    return (*record.history, ancestor)


def _prepare(config: Config, record: RunRecord, tokens: TokenSource) -> Data:
    if config.log.tensorboard:
        check_tensorboard()
    check_length(record.corpus, len(tokens), config)
    for key, check in (("prompt", prompt_ids), ("stop", stop_text)):
        try:  # now, not at the first sample of a long training run
            check(tokens.vocabulary, getattr(config.sample, key))
        except VocabularyError as error:
            raise ConfigError(f"sample.{key}: {error}") from None
    tokens = tokens.in_vocabulary(with_separator(tokens.vocabulary, config.corpus.separator))
    return Data(config, record, *split_corpus(tokens, config.corpus.validation_fraction))
