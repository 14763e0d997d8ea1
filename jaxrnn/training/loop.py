"""The training loop, a generator of events.

It prints and writes nothing. The caller displays the events, saves the state at each `Save`, and may stop at any time.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.config import Config, TrainConfig
from jaxrnn.data.feeding import feeding
from jaxrnn.data.texts import readable
from jaxrnn.data.tokens import TokenSource
from jaxrnn.data.vocabulary import Vocabulary, in_tokens, spell
from jaxrnn.errors import DivergenceError
from jaxrnn.evaluation import validation
from jaxrnn.layers.losses import nats_to_bits
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import replicate, training_mesh
from jaxrnn.sampling.generation import prompt_ids, sample
from jaxrnn.sampling.text import until
from jaxrnn.training.averaging import averaged
from jaxrnn.training.optimizer import update_plateau
from jaxrnn.training.profiling import STEPS, profiling
from jaxrnn.training.state import TrainState, place, stops_early
from jaxrnn.training.step import MAX_SKIPPED, run_steps, split_key

_DISPATCH_SECONDS = 0.3  # target time of a dispatch; signals are handled between dispatches


class Progress(NamedTuple):
    """After each dispatch of steps, a few times a second."""

    step: int  # updates made so far
    tokens: int  # read so far
    train_loss: float  # nats per token, mean over the dispatch
    learning_rate: float  # of the last update
    grad_norm: float  # of the last gradient, before clipping
    tokens_per_second: float  # over the dispatch, without evaluation and saving
    seconds: float  # since training began
    skipped: int  # updates skipped in the dispatch because the loss or the gradient was not finite


class Logged(NamedTuple):
    """After the first step and every `train.log_every` steps, unless an evaluation is due."""

    step: int
    tokens: int
    train_loss: (
        float  # nats per token, mean since the last `Logged` or `Evaluated`; NaN if every update was skipped
    )
    learning_rate: float
    grad_norm: float
    tokens_per_second: float  # over the steps since the last `Logged` or `Evaluated`
    seconds: float
    skipped: int  # in the last dispatch


class Evaluated(NamedTuple):
    """After each pass over the validation split; the first fields are those of `Logged`."""

    step: int
    tokens: int
    train_loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    seconds: float
    skipped: int
    val_loss: float | None  # nats per token; None without a validation split
    is_best: bool  # no earlier evaluation was as good
    stops_early: bool = (
        False  # training ends here, after `train.early_stopping` evaluations without improvement
    )

    @property
    def score(self) -> float:
        """The loss that `is_best` compares, in nats per token: validation loss, or training loss without one."""
        return self.train_loss if self.val_loss is None else self.val_loss

    @property
    def bits_per_token(self) -> float | None:
        """The validation loss in bits per token."""
        return None if self.val_loss is None else nats_to_bits(self.val_loss)


class Sampled(NamedTuple):
    """A sample from the model during training."""

    step: int
    text: str  # bytes are shown by `jaxrnn.data.texts.readable`


class Save(NamedTuple):
    """A request to save the state. The state is a copy that is never donated, so the caller may keep it."""

    step: int
    state: TrainState
    val_loss: float | None  # nats per token; None if not evaluated at this step

    def __repr__(self) -> str:
        return f"Save(step={self.step}, val_loss={self.val_loss})"


Event: TypeAlias = Progress | Logged | Evaluated | Sampled | Save


def train(
    config: Config,
    state: TrainState,
    train_ids: TokenSource,
    val_ids: TokenSource,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    seconds: float = 0.0,
    tokens: int | None = None,
    donate: bool = False,
    profile: Path | None = None,
) -> Iterator[Event]:
    """Train from `state` to `config.train.steps`, as a stream of events.

    Args:
        config: The config of the run.
        state: From `init_state`, or restored.
        train_ids: The training split, in memory or on disk with bitwise identical results. States are reset at the
            separator of its vocabulary.
        val_ids: The validation split: empty, or at least two tokens.
        should_stop: Called after every dispatch (a fraction of a second). Once it returns True in any process, all
            processes yield a last `Save` and end.
        seconds: Training time up to `state`, added to `seconds` of the events.
        tokens: Tokens read up to `state`; None if all steps had the current batch sizes.
        donate: Whether to donate the buffers of `state`, which saves memory.
        profile: A folder for a profile of at most ten steps, the first ones after compilation.

    Yields:
        `Progress` after every dispatch; then `Logged` or `Evaluated`, `Sampled` and `Save` when due, in this order. The
        last step, early or not, is always evaluated and saved, and so is every new best. With several processes, all
        yield the same events at the same steps, except `Sampled`, which only process 0 yields.

    Raises:
        DivergenceError: Five updates in a row were skipped, or the validation loss or a parameter is not finite;
            states saved before are intact.

    Example:
        >>> from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, TrainConfig
        >>> from jaxrnn.training.state import init_state
        >>> from jaxrnn.data.tokens import in_memory
        >>> from jaxrnn.data.vocabulary import build_vocabulary, encode
        >>> text = "to be or not to be, " * 20
        >>> vocabulary = build_vocabulary(text)
        >>> tokens = in_memory(vocabulary, encode(vocabulary, text))
        >>> config = Config(
        ...     model=ModelConfig(layers=(EmbeddingConfig(size=4), LSTMConfig(size=8), DenseConfig())),
        ...     train=TrainConfig(steps=3, batch_size=2, seq_len=8, sample_every=0),
        ... )
        >>> state = init_state(config, vocabulary.size)
        >>> for event in train(config, state, tokens.part(0, 300), tokens.part(300, 400)):
        ...     if isinstance(event, Evaluated):
        ...         print(f"step {event.step}: {event.val_loss:.0f} nats per character")
        step 3: 2 nats per character
    """
    vocabulary = train_ids.vocabulary
    every = config.train
    tokens_per_step = every.tokens_per_step
    mesh = training_mesh(every)
    state = place(mesh, state if donate else _copy(state))
    segments = validation.segment(val_ids, limit=every.eval_tokens, mesh=mesh) if val_ids else None
    step = int(state.step)
    feed = feeding(every, mesh, split_key(state.key)[0], train_ids, step, int(state.shift))
    skipped_tokens = 0 if tokens is None else tokens - step * tokens_per_step
    began = time.monotonic() - seconds
    seconds_per_step = math.inf  # so that the first dispatch, which compiles, is a single step
    timed_steps, timed_seconds = 0, 0.0  # since the last row of the metrics, without compilation

    is_end = step >= every.steps or stops_early(every, state)
    while not is_end:
        dispatched = time.monotonic()
        ids, end = feed(step)
        stop = min(_next_stop(every, step), end)
        num_steps = max(1, min(stop - step, int(_DISPATCH_SECONDS / seconds_per_step)))
        is_profiled = profile is not None and math.isfinite(seconds_per_step)
        if is_profiled:
            num_steps = min(stop - step, STEPS)
        # Clocks and signals differ between processes, but all must run the same steps.
        gathered = processes.gather_numbers((should_stop(), num_steps))
        if gathered[:, 0].any():
            yield Save(step, _copy(state), None)
            return
        num_steps = int(gathered[0, 1])
        with profiling(profile) if profile and is_profiled else nullcontext():
            state, tally, is_finite = run_steps(
                config.model,
                every,
                mesh,
                state,
                ids,
                jax.device_put(np.int32(num_steps)),
                separator_id=vocabulary.separator_id,
            )
            step_before, step = step, int(state.step)  # waits for the device
        profile = None if is_profiled else profile
        elapsed = time.monotonic() - dispatched
        tally = jax.device_get(tally)
        if math.isfinite(seconds_per_step):
            timed_steps, timed_seconds = timed_steps + step - step_before, timed_seconds + elapsed
        seconds_per_step = elapsed / (step - step_before)
        progress = Progress(
            step=step,
            tokens=step * tokens_per_step + skipped_tokens,
            train_loss=float(tally.loss_sum) / updates if (updates := int(tally.updates)) else math.nan,
            learning_rate=float(tally.learning_rate),
            grad_norm=float(tally.grad_norm),
            tokens_per_second=tokens_per_step / seconds_per_step,
            seconds=time.monotonic() - began,
            skipped=step - step_before - updates,
        )
        if int(state.skipped) >= MAX_SKIPPED or not bool(is_finite):
            raise DivergenceError(_report_divergence(progress, float(tally.loss)))
        yield progress

        is_end = step == every.steps
        is_evaluation = is_end or _is_due(every.eval_every, step)
        val_loss, is_best = None, False
        if is_evaluation and segments is not None:
            params = averaged(state.params, state.average)
            try:
                val_loss = validation.evaluate(config.model, params, segments)
            except Exception:  # out of memory, for example: save the steps before it
                yield Save(step, _copy(state), None)
                raise
            if not math.isfinite(val_loss):
                raise DivergenceError(_report_divergence(progress, val_loss))
        if is_evaluation or _is_due(every.log_every, step) or (every.log_every and step == 1):
            if timed_steps:
                progress = progress._replace(tokens_per_second=timed_steps * tokens_per_step / timed_seconds)
            timed_steps, timed_seconds = 0, 0.0
            logged = _logged(progress._replace(seconds=time.monotonic() - began), state)
            changed: dict[str, Any] = {"loss_sum": np.float32(0), "loss_count": np.int32(0)}
            if is_evaluation:
                evaluated = Evaluated(*logged, val_loss, is_best=False)
                evaluated = evaluated._replace(is_best=evaluated.score < float(state.best_val_loss))
                changed |= _note_evaluation(every, state, evaluated)
            # Replicated, as before: another sharding would compile the steps again.
            state = state._replace(**replicate(mesh, changed))
            if is_evaluation:
                is_best, is_early = evaluated.is_best, stops_early(every, state)
                yield evaluated._replace(stops_early=is_early and not is_end)
                is_end |= is_early
            else:
                yield logged
        is_save_due = is_end or is_best or _is_due(every.save_every, step) or _is_due(every.keep_every, step)
        is_sample_due = every.sample_every and (is_end or _is_due(every.sample_every, step))
        if is_sample_due and processes.is_first():
            try:
                text = _write(config, state, vocabulary, step)
            except Exception:
                yield Save(step, _copy(state), val_loss)
                raise
            yield Sampled(step, text)
        if is_save_due:
            yield Save(step, _copy(state), val_loss)


@jax.jit
def _copy(state: TrainState) -> TrainState:
    """Return a copy of the state in new buffers."""
    copied: TrainState = jax.tree.map(jnp.copy, state)
    return copied


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _next_stop(config: TrainConfig, step: int) -> int:
    """Return the next step with logging, evaluation, sampling or saving."""
    periods = (config.log_every, config.eval_every, config.save_every, config.keep_every, config.sample_every)
    return min([config.steps, *(step - step % every + every for every in periods if every > 0)])


def _logged(progress: Progress, state: TrainState) -> Logged:
    train_loss = float(state.loss_sum) / updates if (updates := int(state.loss_count)) else math.nan
    return Logged(**{**progress._asdict(), "train_loss": train_loss})


def _note_evaluation(config: TrainConfig, state: TrainState, evaluated: Evaluated) -> dict[str, Any]:
    """Return the fields of the state that an evaluation changes."""
    is_measured = not math.isnan(evaluated.score)
    improved = evaluated.is_best
    return {
        "plateau": update_plateau(config, state.plateau, improved=improved) if is_measured else state.plateau,
        "best_val_loss": np.float32(evaluated.score) if improved else state.best_val_loss,
        "stale": np.int32(0 if improved else int(state.stale) + is_measured),
    }


def _write(config: Config, state: TrainState, vocabulary: Vocabulary, step: int) -> str:
    """Return a sample with the config's prompt and settings, the prompt included."""
    options = config.sample
    ids = prompt_ids(vocabulary, options.prompt)
    blocks = sample(
        config.model,
        averaged(state.params, state.average),
        ids,
        length=options.length,
        **options.rules,
        rng_seed=config.train.rng_seed + step,
        separator_id=vocabulary.separator_id,
    )
    prompt: Any = spell(vocabulary, ids)
    pieces: Any = (spell(vocabulary, block.ids[0]) for block in blocks)
    return readable(prompt + prompt[:0].join(until(pieces, in_tokens(vocabulary, options.stop))))


def _report_divergence(progress: Progress, loss: float) -> str:
    return (
        f"training diverged by step {progress.step}: loss {loss:g}, gradient norm {progress.grad_norm:g}, "
        f"learning rate {progress.learning_rate:g}; lower train.learning_rate, or train.max_grad_norm if it is above 1"
    )
