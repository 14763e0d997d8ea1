"""The training state: one pytree of arrays with all inputs of the next step, which checkpoints save."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrnn.config import Config, ModelConfig, TrainConfig
from jaxrnn.data.batching import chunks_per_epoch
from jaxrnn.models import stack
from jaxrnn.parallel import processes
from jaxrnn.parallel.devices import replicate, split_rows
from jaxrnn.training.averaging import Averaging, init_average
from jaxrnn.training.leaves import from_leaves, to_leaves
from jaxrnn.training.optimizer import Plateau, init_plateau, make_optimizer
from jaxrnn.types import Array, Carry, Key, Params

_ROLLBACK_FACTOR = 0.25


class TrainState(NamedTuple):
    """The training state, a pytree of arrays; a checkpoint saves all of it."""

    step: Array  # int32 scalar, updates made so far
    params: Params
    opt_state: Any  # optax's
    carry: Carry  # of the training streams
    layout: Array  # int32 [3]: batch_size, seq_len and accumulate_steps of the steps so far
    shift: Array  # int32 scalar, the offset of batch numbers; not 0 after a change of the layout
    key: Key  # of the run; each step folds in its number
    plateau: Plateau
    rate_scale: Array  # float32 scalar, a factor on the learning rate: below 1 after a rollback
    skipped: Array  # int32 scalar, consecutive skipped (not finite) updates up to the last one
    best_val_loss: Array  # float32 scalar, nats per token; infinity before the first evaluation
    stale: Array  # int32 scalar, evaluations since the best one
    loss_sum: Array  # float32 scalar, the sum of the training losses since the last row of the metrics
    loss_count: Array  # int32 scalar, the number of these losses
    average: Averaging = ()  # averaged parameters for inference (`averaging.averaged`)


def init_state(config: Config, vocabulary_size: int) -> TrainState:
    """Initialize the state before the first step from `config.train.rng_seed`.

    Args:
        config: The config of the run; the carry has its `train.batch_size`.
        vocabulary_size: Number of tokens.
    """
    params = _init_params(config.model, config.train, vocabulary_size)
    return start_state(config, params)


def start_state(config: Config, params: Params) -> TrainState:
    """Return the state before the first step, with given parameters.

    Args:
        config: The config of the run; the carry has its `train.batch_size`.
        params: The parameters of the layers.
    """
    state: TrainState = _start_state(config.model, config.train, params)
    return state


def run_keys(config: TrainConfig) -> tuple[Key, Key]:
    """Return the key of the initial parameters, and the key of all other random numbers of the run."""
    params_key, key = jax.random.split(jax.random.key(config.rng_seed))
    return params_key, key


@partial(jax.jit, static_argnums=(0, 1, 2))  # one compilation instead of one per array shape
def _init_params(model_config: ModelConfig, config: TrainConfig, vocabulary_size: int) -> Params:
    params_key, _ = run_keys(config)
    return stack.init(params_key, model_config, vocabulary_size)


@partial(jax.jit, static_argnums=(0, 1))
def _start_state(model_config: ModelConfig, config: TrainConfig, params: Params) -> TrainState:
    _, key = run_keys(config)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=make_optimizer(config).init(params),
        carry=stack.initial_carry(model_config, params, config.batch_size),
        layout=jnp.asarray(layout(config), jnp.int32),
        shift=jnp.zeros((), jnp.int32),
        key=key,
        plateau=init_plateau(),
        rate_scale=jnp.ones((), jnp.float32),
        skipped=jnp.zeros((), jnp.int32),
        best_val_loss=jnp.full((), jnp.inf, jnp.float32),
        stale=jnp.zeros((), jnp.int32),
        loss_sum=jnp.zeros((), jnp.float32),
        loss_count=jnp.zeros((), jnp.int32),
        average=init_average(config, params),
    )


def place(mesh: Mesh, state: TrainState) -> TrainState:
    """Place the state on the devices: the carry is sharded like the streams, everything else is replicated.

    With several processes, all start with the state of process 0. A state that is already placed is not changed.
    """
    if processes.are_several() and state.step.is_fully_addressable:
        state = from_leaves(processes.share(to_leaves(state)), state)
    return replicate(mesh, state._replace(carry=()))._replace(carry=split_rows(mesh, state.carry))


def layout(config: TrainConfig) -> tuple[int, int, int]:
    """Return the sizes that determine the tokens of a step, as in `TrainState.layout`."""
    return config.batch_size, config.seq_len, config.accumulate_steps


def with_layout(config: TrainConfig, sizes: Iterable[int]) -> TrainConfig:
    """Return the config with these sizes."""
    batch_size, seq_len, accumulate_steps = map(int, sizes)
    return replace(config, batch_size=batch_size, seq_len=seq_len, accumulate_steps=accumulate_steps)


def in_layout(config: Config, state: TrainState, num_tokens: int) -> TrainState:
    """Return the state for the config's batch sizes; unchanged if they are the same.

    Training continues at the same position of the epoch, to within one step. Carries are zero, because the streams
    differ.

    Args:
        config: The config of the run, with the new sizes.
        state: The saved state.
        num_tokens: Length of the training split.
    """
    train, before = config.train, with_layout(config.train, state.layout)
    if before == train:
        return state
    step = int(state.step)
    number = step * before.accumulate_steps + int(state.shift)
    if train.stateful:
        chunks_before, chunks = (chunks_per_epoch(each, num_tokens) for each in (before, train))
        epoch, chunk = divmod(number, chunks_before)
        number = epoch * chunks + chunk * chunks // chunks_before
    return state._replace(
        carry=stack.initial_carry(config.model, state.params, train.batch_size),
        layout=jnp.asarray(layout(train), jnp.int32),
        shift=jnp.asarray(number - step * train.accumulate_steps, jnp.int32),
    )


def stops_early(config: TrainConfig, state: TrainState) -> bool:
    """Return whether the last `early_stopping` evaluations did not improve on the best one."""
    return 0 < config.early_stopping <= int(state.stale)


def after_rollback(state: TrainState) -> TrainState:
    """Return a restored state of a diverged run with a quarter of the learning rate."""
    return state._replace(rate_scale=state.rate_scale * jnp.float32(_ROLLBACK_FACTOR))
