"""What each character of a text costs a model, under two protocols that are never mixed.

`stateful`   One pass over the whole text, the state carried from the first character to the last; what `evaluation.py`
             measures while training.
`windows`    The text is cut into windows of W characters, each read from a zero state: window k reads the characters kW
             to kW + W - 1 and is scored on the successor of each; so is the last, shorter one. A character is predicted
             from at most W before it. With W = 256 that is what nanoGPT reports for its models, but over the whole
             text, not a sample of it.

A third, `dynamic`, in which the weights adapt to the text as they read it, is in `dynamic.py`. All three score each
character but the first exactly once.
"""

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Text, encode
from jaxrnn.evaluation import validation
from jaxrnn.layers.losses import nats_to_bits, softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.types import Array, Carry, Params

# What a call of windows holds at a time: so many characters, and fewer where the vocabulary is large.
_CHARACTERS = 2**14
_LOGITS = 2**24
_ROWS = 1024  # windows side by side
_CHUNK = 256  # characters a window reads at a time


class Scores(NamedTuple):
    """The scores of each token of a text but the first."""

    nll: np.ndarray  # [tokens - 1], float32: negative log-likelihood, in nats
    ranks: (
        np.ndarray
    )  # [tokens - 1], int32: 1 where it was the most likely, 2 where one other was likelier, ...

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
        """exp(mean_nll): as hard as a choice among so many; infinite beyond what a float holds."""
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
    ids = encode(model.vocabulary, text)
    if protocol == "stateful":
        return score_stateful(model.config, model.params, ids)
    if protocol == "windows":
        return score_windows(model.config, model.params, ids, window)
    raise ValueError(f"score: protocol must be 'stateful' or 'windows', got {protocol!r}")


def score_stateful(config: ModelConfig, params: Params, ids: np.ndarray) -> Scores:
    """Score a text in one stateful pass.

    It is read as segments side by side that begin 256 characters early, as `evaluation.py` says.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least two.

    Raises:
        ValueError: Fewer than two characters: nothing to predict.
    """
    warm_up, inputs, targets, _ = validation.segment(ids)
    segments, scored = warm_up.shape[0], ids.size - 1
    length = -(-scored // segments)
    carry = _warmed_up(config, params, warm_up)
    scores = _score_chunks(config, params, carry, inputs, targets)
    return _in_order(scores, segments, length, scored)


def score_windows(config: ModelConfig, params: Params, ids: np.ndarray, window: int = 256) -> Scores:
    """Score a text in windows of `window` characters, each read from a zero state.

    Args:
        config: the layers.
        params: their parameters.
        ids: the text `[characters]`, at least two.
        window: characters a window, 1 or more.

    Raises:
        ValueError: Fewer than two characters, or no window.
    """
    if ids.size < 2:
        raise ValueError(f"evaluation: a text of {ids.size} characters has nothing to predict")
    if window < 1:
        raise ValueError(f"evaluation: a window has 1 character at least, not {window}")
    scored = ids.size - 1
    window = min(window, scored)
    windows = -(-scored // window)
    chunks = -(-window // _CHUNK)
    chunk = -(-window // chunks)
    at_once = min(_CHARACTERS, _LOGITS // params[0].table.shape[0])
    rows = max(1, min(_ROWS, at_once // chunk, windows))
    offsets = np.arange(chunks * chunk)
    empty = stack.initial_carry(config, params, rows)
    found = []
    for first in range(0, windows, rows):
        positions = (first + np.arange(rows))[:, None] * window + offsets
        inputs, targets = (
            np.take(ids, positions + k, mode="clip").astype(np.int32).reshape(rows, chunks, chunk)
            for k in (0, 1)
        )
        scores = _score_chunks(config, params, empty, inputs.swapaxes(0, 1), targets.swapaxes(0, 1))
        found.append(_in_order(scores, rows, window, rows * window))
    nats, ranks = (np.concatenate(parts)[:scored] for parts in zip(*found, strict=True))
    return Scores(nats, ranks)


def rank(logits: Array, targets: Array) -> Array:
    """How many characters were likelier than the target, and one: logits `[..., vocabulary]`, targets `[...]`."""
    of_target = jnp.take_along_axis(logits, targets[..., None], axis=-1, mode="clip")
    return 1 + (logits > of_target).sum(-1, dtype=jnp.int32)


def _in_order(scores: tuple[Array, Array], rows: int, length: int, scored: int) -> Scores:
    """Scores `[chunks, rows, chunk]` of rows that follow each other, of `length` characters and padding each."""

    def flat(values: Array) -> np.ndarray:
        by_row = np.asarray(values).swapaxes(0, 1).reshape(rows, -1)
        return by_row[:, :length].reshape(-1)[:scored]

    return Scores(flat(scores[0]), flat(scores[1]))


@partial(jax.jit, static_argnums=0)
def _warmed_up(config: ModelConfig, params: Params, warm_up: Array) -> Carry:
    return validation.warmed_up(config, params, warm_up)


@partial(jax.jit, static_argnums=0)
def _score_chunks(
    config: ModelConfig, params: Params, carry: Carry, inputs: Array, targets: Array
) -> tuple[Array, Array]:
    """Nats and ranks of inputs and targets `[chunks, rows, chunk]`, in that shape; each row is read on and on."""

    def read(carry: Carry, chunk: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Array]]:
        xs, ys = chunk
        carry, logits = stack.apply(config, params, carry, xs)
        return carry, (softmax_cross_entropy(logits, ys), rank(logits, ys))

    _, scores = jax.lax.scan(read, carry, (inputs, targets))
    return scores
