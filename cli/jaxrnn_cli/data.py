"""The text that a command was given, ready to be learned from."""

from typing import TYPE_CHECKING, Any, NamedTuple

from jaxrnn_cli import console
from jaxrnn_cli.destination import Begun

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jaxrnn.config import Config
    from jaxrnn.corpus import Corpus
    from jaxrnn.finetuning import OnUnknown
    from jaxrnn.run_directory import Ancestor, RunRecord
    from jaxrnn.vocabulary import Vocabulary


class Data(NamedTuple):
    """A text as ids; the text itself is let go."""

    record: "RunRecord"
    vocabulary: "Vocabulary"
    train_ids: "NDArray[np.unsignedinteger[Any]]"
    val_ids: "NDArray[np.unsignedinteger[Any]]"


def load_data(config: "Config", *, quiet: bool) -> Data:
    """Reads the corpus of a config, or fetches it, and checks that there is enough of it.

    Raises:
        CorpusError: There is no such text, it can't be read, or it is too short for the config.
        ConfigError: The seed to sample from has characters that the text does not have.
    """
    from jaxrnn.corpus import load_corpus
    from jaxrnn.vocabulary import build_vocabulary

    with console.download_display(quiet=quiet) as report:
        corpus = load_corpus(config.corpus.text, tokens=config.corpus.tokens, report=report)
    return _prepare(config, corpus, build_vocabulary(corpus.text))


def load_data_again(config: "Config", begun: Begun, *, quiet: bool) -> Data:
    """Reads the corpus of a run that goes on, from where the config says or from wherever it is now.

    Raises:
        CorpusError: It is nowhere, or another text stands in its place.
        ConfigError: As `load_data`.
    """
    from jaxrnn.corpus import find_corpus
    from jaxrnn.vocabulary import drop_unknown

    names = [config.corpus.text, begun.record.corpus_path]
    with console.download_display(quiet=quiet) as report:
        corpus = find_corpus(names, begun.record.corpus_sha256, tokens=begun.vocabulary.tokens, report=report)
    # Characters that the run does not have were dropped when it began; most runs have them all.
    corpus = corpus._replace(text=drop_unknown(begun.vocabulary, corpus.text))
    return _prepare(config, corpus, begun.vocabulary)._replace(record=begun.record)


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
        ConfigError: Likewise.
        VocabularyError: The text has a character that the model does not know, and `on_unknown` is "error".
    """
    from jaxrnn.corpus import load_corpus
    from jaxrnn.finetuning import cover, describe_coverage
    from jaxrnn.texts import shown

    with console.download_display(quiet=quiet) as report:
        corpus = load_corpus(config.corpus.text, tokens=config.corpus.tokens, report=report)
    vocabulary, text, coverage = cover(vocabulary, corpus.text, on_unknown, shown(corpus.name))
    if not quiet and vocabulary.tokens == "characters":  # a model of bytes knows them all
        console.note(describe_coverage(coverage, on_unknown))
    return _prepare(config, corpus._replace(text=text), vocabulary, history)


def _prepare(
    config: "Config", corpus: "Corpus", vocabulary: "Vocabulary", history: "tuple[Ancestor, ...]" = ()
) -> Data:
    from jaxrnn.corpus import check_lengths, split_corpus
    from jaxrnn.errors import ConfigError, VocabularyError
    from jaxrnn.run_directory import new_record
    from jaxrnn.sampling import seed_ids
    from jaxrnn.tensorboard import check_tensorboard
    from jaxrnn.vocabulary import encode

    if config.log.tensorboard:
        check_tensorboard()

    check_lengths(corpus, config)
    try:  # now, not at the first sample of a long training
        seed_ids(vocabulary, config.sample.seed)
    except VocabularyError as error:
        raise ConfigError(f"sample.seed: {error}") from None
    ids = encode(vocabulary, corpus.text)
    train_ids, val_ids = split_corpus(ids, config.corpus.validation_fraction)
    record = new_record(corpus.name, corpus.path, corpus.sha256, vocabulary, history)
    return Data(record, vocabulary, train_ids, val_ids)
