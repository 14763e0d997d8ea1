"""The surprisal of another model on the same text."""

import numpy as np

from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import Text, drop_unknown, encode
from jaxrnn.evaluation.scoring import score_windows
from jaxrnn.models.language_model import LanguageModel


def surprisal(model: LanguageModel, text: Text) -> np.ndarray:
    """Return the surprisal of each token of a text, `[tokens]`, float32, nats.

    The model begins with a zero state and reads only what its vocabulary has. The others and the first that it reads,
    which nothing comes before, are NaN.
    """
    known = drop_unknown(model.vocabulary, text)
    is_known = np.ones(len(text), bool)
    if isinstance(text, str):
        characters = set(known)
        is_known = np.array([c in characters for c in text], bool)
    nats = np.full(len(text), np.nan, np.float32)
    if len(known) > 1:
        tokens = in_memory(model.vocabulary, encode(model.vocabulary, known))
        nats[np.flatnonzero(is_known)[1:]] = score_windows(model.config, model.params, tokens, len(known)).nll
    return nats
