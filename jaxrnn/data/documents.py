"""Documents: where one ends and the next begins, the state of a model is reset.

A corpus of many short documents (names, messages, poems, articles) has a separator between them, `[corpus] separator`,
one character or, where tokens are bytes, one byte. A document begins with the separator before it: the state is reset
just before that is read, so that the predictions after it depend on nothing before it, in training, evaluation and
sampling alike; and a sample whose prompt is the separator begins as every document did.

The id of the separator depends on the vocabulary: a config that a model is made of goes through `resolve_separator`
first.
"""

from dataclasses import replace

from jaxrnn.config import Config
from jaxrnn.config.fields import show
from jaxrnn.data.vocabulary import Vocabulary, encode
from jaxrnn.errors import ConfigError, VocabularyError


def resolve_separator(config: Config, vocabulary: Vocabulary) -> Config:
    r"""Return the config with `model.reset_id`, the id of its separator in this vocabulary; None without a separator.

    Args:
        config: as read from TOML, or resolved before, for another vocabulary perhaps.
        vocabulary: that of the corpus, or of the run.

    Raises:
        ConfigError: The vocabulary lacks the separator, or has several tokens for it.

    Example:
        >>> from jaxrnn.config import CorpusConfig
        >>> config = Config(corpus=CorpusConfig(separator="\n"))
        >>> resolve_separator(config, Vocabulary("\n !abc")).model.reset_id
        0
    """
    separator = config.corpus.separator
    reset_id = _find_id(separator, vocabulary) if separator else None
    return replace(config, model=replace(config.model, reset_id=reset_id))


def _find_id(separator: str, vocabulary: Vocabulary) -> int:
    named = f"corpus.separator = {show(separator)}"
    try:
        ids = encode(vocabulary, separator)
    except VocabularyError:
        raise ConfigError(
            f"{named}: the text does not have this character, so nothing would separate its documents; "
            "name the one that does, or leave the separator out"
        ) from None
    if len(ids) != 1:  # where tokens are bytes
        raise ConfigError(
            f"{named}: is {len(ids)} tokens, and the state is reset at one; put one that occurs nowhere else in its "
            'place, such as "\\u001E"'
        )
    return int(ids[0])
