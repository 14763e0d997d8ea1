"""The score of each token of a corpus, under two protocols that are never mixed.

`stateful`   One pass over the whole corpus, the state carried from the first token to the last; what `validation.py`
             measures while training.
`windows`    The corpus is cut into windows of W tokens, each read from a zero state: window k reads the tokens kW to
             kW + W - 1 and is scored on the successor of each; so is the last, shorter one. A token is predicted from
             at most W before it. With W = 256 that is what nanoGPT reports for its models, but over the whole corpus,
             not a sample of it.

A third, `dynamic`, in which the weights adapt to the corpus as they read it, is in `dynamic.py`. All three score each
token but the first exactly once.
"""

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Text, encode
from jaxrnn.evaluation import validation
from jaxrnn.layers.losses import nats_to_bits, softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.types import Array, Params

# Tokens per call with windows; fewer for a large vocabulary.
_TOKENS = 2**14
_ROWS = 1024  # windows side by side
_CHUNK = 256  # tokens a window reads at a time


class Scores(NamedTuple):
    """The scores of each token of a text but the first."""

    nll: np.ndarray  # [tokens - 1], float32: negative log-likelihood, in nats
    ranks: np.ndarray  # [tokens - 1], int32: 1 where it was the most likely, 2 where one was likelier, ...

    @property
    def mean_nll(self) -> float:
        """The mean negative log-likelihood, nats per token."""
        return float(self.nll.sum(dtype=np.float64)) / self.nll.size

    @property
    def bits_per_token(self) -> float:
        """The mean negative log-likelihood in bits per token."""
        return nats_to_bits(self.mean_nll)

    @property
    def perplexity(self) -> float:
        """exp(mean_nll), the number of equally likely choices with this NLL; infinite if it overflows a float."""
        return math.exp(self.mean_nll) if self.mean_nll < 700 else math.inf

    @property
    def top1_accuracy(self) -> float:
        """The share of tokens that were the most likely."""
        return float((self.ranks == 1).mean())


def score(
    model: LanguageModel,
    text: Text,
    *,
    protocol: Literal["stateful", "windows"] = "stateful",
    window: int = 256,
) -> Scores:
    """Score each token of a text but the first.

    Args:
        model: from `jaxrnn.load`, or `Run.model()`.
        text: at least two tokens, all of them in the model's vocabulary; `bytes` for a model of bytes.
        protocol: "stateful", one pass; or "windows", each read from a zero state.
        window: tokens a window.

    Raises:
        VocabularyError: The model does not know a character of the text.
        ValueError: The text has fewer than two tokens, or the protocol is neither.

    Example:
        >>> scores = score(getfixture("language_model"), "to be or not to be")
        >>> scores.nll.shape, scores.perplexity > 1
        ((17,), True)
    """
    tokens = in_memory(model.vocabulary, encode(model.vocabulary, text))
    if protocol == "stateful":
        return score_stateful(model.config, model.params, tokens)
    if protocol == "windows":
        return score_windows(model.config, model.params, tokens, window)
    raise ValueError(f"score: protocol must be 'stateful' or 'windows', got {protocol!r}")


def score_stateful(config: ModelConfig, params: Params, tokens: TokenSource) -> Scores:
    """Score a corpus in one stateful pass.

    It is read as segments side by side that begin 256 tokens early, as in `validation.py`.

    Args:
        config: the layers.
        params: their parameters.
        tokens: the corpus, at least two tokens.

    Raises:
        ValueError: There are fewer than two tokens.
    """
    segments, separator_id = validation.segment(tokens), tokens.vocabulary.separator_id
    carry = validation.warmed_up(config, separator_id, params, segments.warm_up)
    found = []
    for inputs, targets, _ in segments.pieces():
        chunks = (inputs, targets)
        carry, scores = validation.scan_chunks(config, separator_id, _score, params, carry, chunks)
        found.append([np.asarray(values) for values in scores])
    nll, ranks = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _in_order(nll, ranks, segments.length, len(tokens) - 1)


def score_windows(config: ModelConfig, params: Params, tokens: TokenSource, window: int = 256) -> Scores:
    """Score a corpus in windows of `window` tokens, each read from a zero state.

    Args:
        config: the layers.
        params: their parameters.
        tokens: the corpus, at least two tokens.
        window: tokens a window, 1 or more.

    Raises:
        ValueError: There are fewer than two tokens, or the window is too short.
    """
    validation.check_is_enough(tokens)
    if window < 1:
        raise ValueError(f"evaluation: window must be at least 1, got {window}")
    scored = len(tokens) - 1
    window = min(window, scored)
    windows = -(-scored // window)
    chunks = -(-window // _CHUNK)
    chunk = -(-window // chunks)
    at_once = min(_TOKENS, stack.MOST_LOGITS // params[0].table.shape[0])
    rows = max(1, min(_ROWS, at_once // chunk, windows))
    offsets = np.arange(chunks * chunk)
    empty = stack.initial_carry(config, params, rows)
    found = []
    for first in range(0, windows, rows):
        positions = (first + np.arange(rows))[:, None] * window + offsets
        inputs, targets = (
            tokens.take(positions + k).reshape(rows, chunks, chunk).swapaxes(0, 1) for k in (0, 1)
        )
        separator_id = tokens.vocabulary.separator_id
        _, (nll, ranks) = validation.scan_chunks(
            config, separator_id, _score, params, empty, (inputs, targets)
        )
        found.append(_in_order(np.asarray(nll), np.asarray(ranks), window, rows * window))
    nll, ranks = (np.concatenate(parts)[:scored] for parts in zip(*found, strict=True))
    return Scores(nll, ranks)


def rank(logits: Array, targets: Array) -> Array:
    """Return how many tokens were likelier than the target, plus 1: logits `[..., vocabulary]`, targets `[...]`."""
    of_target = jnp.take_along_axis(logits, targets[..., None], axis=-1, mode="clip")
    return 1 + (logits > of_target).sum(-1, dtype=jnp.int32)


def _score(logits: Array, targets: Array) -> tuple[Array, Array]:
    return softmax_cross_entropy(logits, targets), rank(logits, targets)


def _in_order(nll: np.ndarray, ranks: np.ndarray, length: int, scored: int) -> Scores:
    """Return scores `[chunks, rows, chunk]` of rows that follow each other, of `length` tokens and padding each."""

    def flat(values: np.ndarray) -> np.ndarray:
        by_row = values.swapaxes(0, 1).reshape(values.shape[1], -1)
        return by_row[:, :length].reshape(-1)[:scored]

    return Scores(flat(nll), flat(ranks))
