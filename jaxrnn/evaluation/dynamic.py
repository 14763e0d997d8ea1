"""Dynamic evaluation: the weights adapt to a text as they read it.

The text is read once, statefully, in segments of a few tokens. Each is scored first, with the weights theta as
they are by then. Then the weights take a step down the gradient g of the segment's mean loss, and a step back to
theta_0, the weights that training left:

    theta <- theta + lambda * D * (theta_0 - theta) - eta * g / (RMS + eps)

    RMS     the root of the mean square of g over segments of the training text, one number for each weight
    D       RMS / mean(RMS), the mean taken over all weights; where lambda * D would be above 1, it is 1
    eps     a tenth of mean(RMS): a weight that training text hardly ever moves does not jump when it is moved at last

A weight that the training text moves much takes small steps and is held tightly, the others may roam. eta and lambda
are chosen on the end of the training corpus, never on the scored corpus. BPTT is truncated at segment boundaries; the
state continues across them. Each token is scored before the weights are updated with it. Still, such a score compares
only with other scores under this protocol, because the model keeps learning.

RMS comes from streams side by side in one batch. Their gradients are as good as independent with a mean of nearly zero,
so the square of the sum of R of them, divided by R, is on the mean the square of one.

Source: Krause, Kahembwe, Murray and Renals (2018), "Dynamic evaluation of neural sequence models", section 4 (RMS
decay). There eps is a number to be tuned; as a share of mean(RMS) it need not be.
"""

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import ModelConfig
from jaxrnn.data.tokens import TokenSource
from jaxrnn.evaluation.scoring import Scores, rank
from jaxrnn.evaluation.validation import check_is_enough
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.types import Array, Carry, OnProgress, Params

SEGMENT = 20  # tokens from one step to the next
EPSILON = 0.1  # eps, as a share of mean(RMS)
_ROWS = 32  # streams side by side, for RMS
_STATISTICS = 200_000  # tokens of the training text, at most, that RMS is taken from
_TUNING = 20_000  # tokens at its end, at most, on which the rates are chosen
_BLOCK = 512  # segments a dispatch: a signal is answered and progress told in between

# Candidates. Around these, segments of 5 to 20 tokens gain about the same, and long segments are faster.
RATES = (2e-4, 5e-4, 1e-3, 2e-3)
DECAYS = (1e-3, 3e-3, 1e-2)


class Rates(NamedTuple):
    """How fast the weights adapt."""

    rate: float  # eta
    decay: float  # lambda


class Trial(NamedTuple):
    """The loss of a pair of rates on the end of the training split."""

    rates: Rates
    nll: float  # nats per token; infinite where the weights ran away


def gradient_rms(config: ModelConfig, params: Params, tokens: TokenSource, segment: int = SEGMENT) -> Params:
    """RMS: a tree like the parameters.

    Args:
        config: the layers.
        params: theta_0.
        tokens: the training split, at least two tokens; streams spread evenly over it are read.
        segment: tokens that a gradient is taken over.

    Raises:
        ValueError: Fewer than two tokens, or no segment.
    """
    _check(tokens, segment)
    scored = len(tokens) - 1
    segment = min(segment, scored)
    rows = max(1, min(_ROWS, scored // (4 * segment)))
    segments = max(1, min(scored, _STATISTICS) // (rows * segment))
    starts = np.arange(rows) * (scored // rows)
    positions = starts[:, None] + np.arange(segments * segment)
    inputs, targets = (
        tokens.take(positions + k).reshape(rows, segments, segment).swapaxes(0, 1) for k in (0, 1)
    )
    return _gradient_rms(config, tokens.vocabulary.separator_id, params, inputs, targets)


def score_dynamic(
    config: ModelConfig,
    params: Params,
    tokens: TokenSource,
    rms: Params,
    rates: Rates,
    segment: int = SEGMENT,
    on_progress: OnProgress = lambda *_: None,
) -> Scores:
    """Score a text with weights that adapt to it.

    Args:
        config: the layers.
        params: theta_0; not changed.
        tokens: the corpus, at least two tokens.
        rms: from `gradient_rms`, for the same length of segment.
        rates: eta and lambda, 0 or more.
        segment: tokens from one step to the next.
        on_progress: Receives the progress, a few times per second.

    Returns:
        The scores; not finite from where the weights ran away, if they did.

    Raises:
        ValueError: Fewer than two tokens, or no segment.
    """
    _check(tokens, segment)
    scored = len(tokens) - 1
    segment = min(segment, scored)
    block = min(_BLOCK, -(-scored // segment)) * segment
    factors = jnp.asarray(rates, jnp.float32)
    state = (jax.tree.map(jnp.copy, params), stack.initial_carry(config, params, 1))
    nats, ranks = [], []
    for start in range(0, scored, block):
        on_progress("adapting to the text", start, scored)
        positions = start + np.arange(block)
        inputs, targets = (tokens.take(positions + k).reshape(-1, segment) for k in (0, 1))
        separator_id = tokens.vocabulary.separator_id
        state, found = _read_block(config, separator_id, state, params, rms, factors, inputs, targets)
        nats.append(np.asarray(found[0]).reshape(-1))
        ranks.append(np.asarray(found[1]).reshape(-1))
    return Scores(np.concatenate(nats)[:scored], np.concatenate(ranks)[:scored])


def tune(
    config: ModelConfig,
    params: Params,
    tokens: TokenSource,
    rms: Params,
    segment: int = SEGMENT,
    on_progress: OnProgress = lambda *_: None,
) -> list[Trial]:
    """Try rates on the end of the training text: eta first, then lambda with the best eta.

    Args:
        config: the layers.
        params: theta_0.
        tokens: the training split, at least two tokens.
        rms: from `gradient_rms`.
        segment: tokens from one step to the next.
        on_progress: told how far it is.

    Returns:
        All that was tried, the best first.
    """
    end = tokens.part(max(0, len(tokens) - _TUNING - 1), len(tokens))
    trials: list[Trial] = []

    def attempt(rates: Rates) -> None:
        on_progress("choosing the rates of adaptation", len(trials), len(RATES) + len(DECAYS) - 1)
        scores = score_dynamic(config, params, end, rms, rates, segment)
        nats = scores.mean_nll
        trials.append(Trial(rates, nats if np.isfinite(nats) else np.inf))
        trials.sort(key=lambda trial: trial.nll)

    middle = DECAYS[len(DECAYS) // 2]
    for rate in RATES:
        attempt(Rates(rate, middle))
    best = trials[0].rates.rate
    for decay in DECAYS:
        if decay != middle:
            attempt(Rates(best, decay))
    return trials


def _check(tokens: TokenSource, segment: int) -> None:
    check_is_enough(tokens)
    if segment < 1:
        raise ValueError(f"evaluation: segment must be at least 1, got {segment}")


def _segment_gradient(
    config: ModelConfig,
    separator_id: int | None,
    params: Params,
    carry: Carry,
    inputs: Array,
    targets: Array,
) -> tuple[Params, tuple[Carry, Array, Array]]:
    """The gradient of the mean loss of `[rows, segment]`, summed over rows; the carry after it, nats and ranks.

    A segment whose logits exceed `MOST_LOGITS` is read in equal chunks; the backward pass makes their logits again.
    """
    rows, segment = inputs.shape
    at_once = stack.MOST_LOGITS // (rows * params[0].table.shape[0])  # tokens of a chunk
    chunks = next(
        n for n in range(1, segment + 1) if n == segment or (segment % n == 0 and segment <= n * at_once)
    )

    def loss(params: Params) -> tuple[Array, tuple[Carry, Array, Array]]:
        def read(carry: Carry, here: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Array]]:
            ids, targets = here
            resets = find_resets(ids, separator_id)
            carry, logits = stack.apply(config, params, carry, ids, resets=resets)
            return carry, (softmax_cross_entropy(logits, targets), rank(logits, targets))

        if chunks == 1:
            carry_out, (nats, ranks) = read(carry, (inputs, targets))
        else:
            split = [ids.reshape(rows, chunks, -1).swapaxes(0, 1) for ids in (inputs, targets)]
            carry_out, scores = jax.lax.scan(jax.checkpoint(read), carry, tuple(split))
            nats, ranks = (values.swapaxes(0, 1).reshape(rows, segment) for values in scores)
        return nats.mean(axis=1).sum(), (carry_out, nats, ranks)

    gradient, scores = jax.grad(loss, has_aux=True)(params)
    return gradient, scores


@partial(jax.jit, static_argnums=(0, 1))
def _gradient_rms(
    config: ModelConfig, separator_id: int | None, params: Params, inputs: Array, targets: Array
) -> Params:
    """RMS from inputs and targets `[segments, rows, segment]`."""
    segments, rows, _ = inputs.shape

    def read(state: tuple[Params, Carry], here: tuple[Array, Array]) -> tuple[tuple[Params, Carry], None]:
        squares, carry = state
        gradient, (carry, _, _) = _segment_gradient(config, separator_id, params, carry, *here)
        return (jax.tree.map(lambda total, g: total + g * g, squares, gradient), carry), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    begin = (zeros, stack.initial_carry(config, params, rows))
    (squares, _), _ = jax.lax.scan(read, begin, (inputs, targets))
    return jax.tree.map(lambda total: jnp.sqrt(total / (segments * rows)), squares)


_State: TypeAlias = tuple[Params, Carry]


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _read_block(
    config: ModelConfig,
    separator_id: int | None,
    state: _State,
    origin: Params,
    rms: Params,
    rates: Array,
    inputs: Array,
    targets: Array,
) -> tuple[_State, tuple[Array, Array]]:
    """Reads inputs and targets `[segments, segment]`; returns the state after them, and nats and ranks like them."""
    rate, decay = rates
    leaves = jax.tree.leaves(rms)
    mean = sum((leaf.sum() for leaf in leaves), jnp.zeros((), jnp.float32)) / sum(
        leaf.size for leaf in leaves
    )
    # A model without any gradient stays as it is: eps is a normal number, however small.
    mean = jnp.maximum(mean, np.finfo(np.float32).tiny / EPSILON)

    def update(theta: Array, theta_0: Array, g: Array, scale: Array) -> Array:
        pull = jnp.minimum(decay * scale / mean, 1)  # lambda * D
        new: Array = theta + pull * (theta_0 - theta) - rate * g / (scale + EPSILON * mean)
        return new

    def read(state: _State, here: tuple[Array, Array]) -> tuple[_State, tuple[Array, Array]]:
        theta, carry = state
        xs, ys = here
        gradient, (carry, nats, ranks) = _segment_gradient(
            config, separator_id, theta, carry, xs[None], ys[None]
        )
        theta = jax.tree.map(update, theta, origin, gradient, rms)
        return (theta, carry), (nats[0], ranks[0])

    return jax.lax.scan(read, state, (inputs, targets))
