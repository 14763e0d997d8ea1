"""The training loop: what a step depends on, the jitted steps, and the events a run is made of.

Nothing here prints or writes. `train` is a generator of events; whoever drives it shows them, saves the state when a
`Save` comes by, and may stop it at any time.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxrnn import batching, evaluation, model
from jaxrnn.config import Config, ModelConfig, TrainConfig
from jaxrnn.devices import replicate, split_rows, training_mesh
from jaxrnn.errors import DivergenceError
from jaxrnn.losses import nats_to_bits, softmax_cross_entropy
from jaxrnn.optimizer import Plateau, init_plateau, learning_rate, make_optimizer, update_plateau
from jaxrnn.sampling import sample, seed_ids
from jaxrnn.types import Array, Carry, Key, Params
from jaxrnn.vocabulary import Vocabulary, decode

_DISPATCH_SECONDS = 0.3  # how long Python waits for the device: a signal is answered within that time


class TrainState(NamedTuple):
    """All that the next step depends on; a tree of arrays, saved whole."""

    step: Array  # int32 scalar, updates made so far
    params: Params
    opt_state: Any  # optax's
    carry: Carry  # of the training streams
    key: Key  # of the whole run; each step folds its number in
    plateau: Plateau
    best_val_loss: Array  # float32 scalar, nats per character; infinity before the first evaluation
    loss_sum: Array  # float32 scalar, the training losses since the last evaluation, added up
    loss_count: Array  # int32 scalar, how many


class Progress(NamedTuple):
    """After each dispatch of steps, a few times a second."""

    step: int  # updates made so far
    characters: int  # read so far, batch_size * seq_len a step
    train_loss: float  # nats per character, mean over the dispatch
    learning_rate: float  # of the last update
    grad_norm: float  # of the last gradient, before clipping
    chars_per_second: float  # over the dispatch, evaluation and saving not counted
    seconds: float  # since training began


class Evaluated(NamedTuple):
    """After each pass over the held-out text."""

    step: int
    characters: int
    train_loss: float  # nats per character, mean since the last evaluation
    val_loss: float | None  # nats per character; None where nothing is held out
    learning_rate: float
    grad_norm: float
    chars_per_second: float  # over the steps since the last evaluation
    seconds: float
    is_best: bool  # no earlier evaluation was as good

    @property
    def bits_per_char(self) -> float | None:
        """The held-out loss in bits per character."""
        return None if self.val_loss is None else nats_to_bits(self.val_loss)


class Sampled(NamedTuple):
    """Text that the model writes as it learns."""

    step: int
    text: str


class Save(NamedTuple):
    """The state is worth keeping now. Save it before asking for the next event: then its buffers are used again."""

    step: int
    state: TrainState
    val_loss: float | None  # at this very step, where it was evaluated


Event: TypeAlias = Progress | Evaluated | Sampled | Save


def init_state(config: Config, vocabulary_size: int) -> TrainState:
    """The state before the first step, drawn from `config.train.rng_seed`."""
    key = jax.random.key(config.train.rng_seed)
    state: TrainState = _init_state(config.model, config.train, vocabulary_size, key)
    return state


@partial(jax.jit, static_argnums=(0, 1, 2))  # one compilation instead of one for every kind of array
def _init_state(model_config: ModelConfig, config: TrainConfig, vocabulary_size: int, key: Key) -> TrainState:
    params_key, key = jax.random.split(key)
    params = model.init(params_key, model_config, vocabulary_size)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=make_optimizer(config).init(params),
        carry=model.initial_carry(model_config, params, config.batch_size),
        key=key,
        plateau=init_plateau(),
        best_val_loss=jnp.full((), jnp.inf, jnp.float32),
        loss_sum=jnp.zeros((), jnp.float32),
        loss_count=jnp.zeros((), jnp.int32),
    )


def update(
    model_config: ModelConfig, config: TrainConfig, state: TrainState, ids: Array, mesh: Mesh | None = None
) -> tuple[TrainState, Array, Array]:
    """One optimizer step on the batch that `state.step` stands for: a pure function that `train` runs jitted.

    Args:
        model_config: the layers.
        config: the other hyperparameters.
        state: before the step.
        ids: the training text `[characters]`.
        mesh: the devices that share the batch; None leaves everything where it is.

    Returns:
        The state after the step; the mean loss of the batch, nats per character; the gradient's global norm.
    """
    batch_key, dropout_key = jax.random.split(state.key)
    inputs, targets, is_fresh = batching.batch(config, batch_key, state.step, ids)
    if mesh is not None:
        inputs, targets = split_rows(mesh, (inputs, targets))
    carry = jax.tree.map(lambda leaf: jnp.where(is_fresh, jnp.zeros_like(leaf), leaf), state.carry)

    def mean_loss(params: Params) -> tuple[Array, Carry]:
        step_key = jax.random.fold_in(dropout_key, state.step)
        carry_out, logits = model.apply(model_config, params, carry, inputs, step_key)
        return softmax_cross_entropy(logits, targets).mean(), carry_out

    (loss, carry), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python and array scalars
        updates, opt_state = make_optimizer(config).update(gradients, state.opt_state, state.params)
        updates = jax.tree.map(lambda leaf: leaf * state.plateau.scale.astype(leaf.dtype), updates)
        params = optax.apply_updates(state.params, updates)
        grad_norm = optax.tree.norm(gradients)
    state = state._replace(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        carry=carry,
        loss_sum=state.loss_sum + loss,
        loss_count=state.loss_count + 1,
    )
    return state, loss, grad_norm


class _Tally(NamedTuple):
    """What a dispatch of steps reports, scalars all."""

    loss_sum: Array
    grad_norm: Array  # of the last step
    learning_rate: Array  # likewise
    is_finite: Array  # every loss and gradient so far


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _run_steps(
    model_config: ModelConfig,
    config: TrainConfig,
    mesh: Mesh,
    state: TrainState,
    ids: Array,
    num_steps: Array,
) -> tuple[TrainState, _Tally]:
    """`num_steps` updates in one call.

    A `fori_loop`, not a `scan`: its length may differ from call to call without compiling again, so that a dispatch is
    as long as fits in a fraction of a second and ends exactly where an evaluation is due.
    """

    def body(_: Array, loop: tuple[TrainState, _Tally]) -> tuple[TrainState, _Tally]:
        state, tally = loop
        rate = learning_rate(config, state.step) * state.plateau.scale
        state, loss, grad_norm = update(model_config, config, state, ids, mesh)
        is_finite = tally.is_finite & jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        return state, _Tally(tally.loss_sum + loss, grad_norm, rate, is_finite)

    zero = jnp.zeros((), jnp.float32)
    loop = (state, _Tally(zero, zero, zero, jnp.asarray(True)))
    state, tally = jax.lax.fori_loop(0, num_steps, body, loop)
    return state, tally


def train(
    config: Config,
    state: TrainState,
    vocabulary: Vocabulary,
    train_ids: np.ndarray,
    val_ids: np.ndarray,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train from `state` to `config.train.steps`, as a stream of events.

    Args:
        config: the run's.
        state: from `init_state`, or loaded; its buffers are used up.
        vocabulary: for the text that is sampled.
        train_ids: the training text `[characters]`, uint8 or uint16.
        val_ids: the held-out text; empty, or at least two characters.
        should_stop: asked after every dispatch (a fraction of a second); once true, a last `Save` ends the stream.

    Yields:
        `Progress` after every dispatch; `Evaluated`, `Sampled` and `Save`, in this order, where they are due. The end
        of training is always evaluated and saved, and a new best is always saved.

    Raises:
        DivergenceError: A loss or a gradient is not finite; states saved before are good.
    """
    every = config.train
    characters_per_step = every.batch_size * every.seq_len
    mesh = training_mesh(every)
    ids = replicate(mesh, jnp.asarray(train_ids))
    state = replicate(mesh, state)._replace(carry=split_rows(mesh, state.carry))
    segments = evaluation.segment(val_ids, mesh=mesh) if val_ids.size else None
    step = int(state.step)
    began = time.monotonic()
    seconds_per_step = math.inf  # so that the first dispatch, which compiles, is a single step
    timed_steps, timed_seconds = 0, 0.0  # since the last evaluation, compilation not counted

    while step < every.steps:
        if should_stop():
            yield Save(step, state, None)
            return
        num_steps = max(1, min(_next_stop(every, step) - step, int(_DISPATCH_SECONDS / seconds_per_step)))
        dispatched = time.monotonic()
        state, tally = _run_steps(config.model, every, mesh, state, ids, jnp.int32(num_steps))
        tally = jax.device_get(tally)  # waits for the device
        elapsed = time.monotonic() - dispatched
        if math.isfinite(seconds_per_step):
            timed_steps, timed_seconds = timed_steps + num_steps, timed_seconds + elapsed
        seconds_per_step = elapsed / num_steps
        step += num_steps
        progress = Progress(
            step=step,
            characters=step * characters_per_step,
            train_loss=float(tally.loss_sum) / num_steps,
            learning_rate=float(tally.learning_rate),
            grad_norm=float(tally.grad_norm),
            chars_per_second=characters_per_step / seconds_per_step,
            seconds=time.monotonic() - began,
        )
        if not bool(tally.is_finite):
            raise DivergenceError(_report_divergence(progress, progress.train_loss))
        yield progress

        is_end = step == every.steps
        is_save_due = is_end or _is_due(every.save_every, step)
        val_loss = None
        if is_end or _is_due(every.eval_every, step):
            if segments is not None:
                val_loss = evaluation.evaluate(config.model, state.params, segments)
                if not math.isfinite(val_loss):
                    raise DivergenceError(_report_divergence(progress, val_loss))
            if timed_steps:
                progress = progress._replace(
                    chars_per_second=timed_steps * characters_per_step / timed_seconds
                )
            progress = progress._replace(seconds=time.monotonic() - began)
            evaluated = _evaluated(progress, state, val_loss)
            # On every device again, as it was: another layout would compile the steps anew.
            state = state._replace(**replicate(mesh, _note_evaluation(every, state, evaluated)))
            timed_steps, timed_seconds = 0, 0.0
            is_save_due |= evaluated.is_best
            yield evaluated
        if every.sample_every and (is_end or _is_due(every.sample_every, step)):
            yield Sampled(step, _write(config, state, vocabulary, step))
        if is_save_due:
            yield Save(step, state, val_loss)


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _next_stop(config: TrainConfig, step: int) -> int:
    """The next step at which something is evaluated, sampled or saved."""
    periods = [every for every in (config.eval_every, config.save_every, config.sample_every) if every > 0]
    return min([config.steps, *(step - step % every + every for every in periods)])


def _evaluated(progress: Progress, state: TrainState, val_loss: float | None) -> Evaluated:
    train_loss = float(state.loss_sum) / max(1, int(state.loss_count))
    score = train_loss if val_loss is None else val_loss
    is_best = score < float(state.best_val_loss)
    return Evaluated(**{**progress._asdict(), "train_loss": train_loss}, val_loss=val_loss, is_best=is_best)


def _note_evaluation(config: TrainConfig, state: TrainState, evaluated: Evaluated) -> dict[str, Any]:
    """The fields of the state that an evaluation changes."""
    score = evaluated.train_loss if evaluated.val_loss is None else evaluated.val_loss
    return {
        "plateau": update_plateau(config, state.plateau, improved=evaluated.is_best),
        "best_val_loss": jnp.float32(score) if evaluated.is_best else state.best_val_loss,
        "loss_sum": jnp.zeros((), jnp.float32),
        "loss_count": jnp.zeros((), jnp.int32),
    }


def _write(config: Config, state: TrainState, vocabulary: Vocabulary, step: int) -> str:
    """What the model makes of the config's seed now, with the config's settings; the seed included."""
    options = config.sample
    seed = seed_ids(vocabulary, options.seed)
    blocks = sample(
        config.model,
        state.params,
        seed,
        length=options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        rng_seed=config.train.rng_seed + step,
    )
    text = decode(vocabulary, np.concatenate([block[0] for block in blocks]))
    if options.stop:
        text, _, _ = text.partition(options.stop)
    return decode(vocabulary, seed) + text


def _report_divergence(progress: Progress, loss: float) -> str:
    return (
        f"training diverged by step {progress.step}: loss {loss:g}, gradient norm {progress.grad_norm:g}, "
        f"learning rate {progress.learning_rate:g}; lower train.learning_rate, or train.clip_norm if it is above 1"
    )
