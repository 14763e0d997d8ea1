"""The text that a command was given, ready to be learned from."""

from typing import TYPE_CHECKING, Any, NamedTuple

from jaxrnn_cli import console

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jaxrnn.config import Config
    from jaxrnn.run_directory import RunRecord
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
    from jaxrnn.corpus import check_lengths, load_corpus, split_corpus
    from jaxrnn.errors import ConfigError, VocabularyError
    from jaxrnn.run_directory import new_record
    from jaxrnn.sampling import seed_ids
    from jaxrnn.vocabulary import build_vocabulary, encode

    with console.download_display(quiet=quiet) as report:
        corpus = load_corpus(config.corpus.text, report=report)
    check_lengths(corpus, config)
    vocabulary = build_vocabulary(corpus.text)
    try:  # now, not at the first sample of a long training
        seed_ids(vocabulary, config.sample.seed)
    except VocabularyError as error:
        raise ConfigError(f"sample.seed: {error}") from None
    ids = encode(vocabulary, corpus.text)
    train_ids, val_ids = split_corpus(ids, config.corpus.validation_fraction)
    return Data(new_record(corpus.name, corpus.path, corpus.sha256), vocabulary, train_ids, val_ids)
