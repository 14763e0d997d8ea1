"""The update of the parameters, and a loop of updates in one call.

loss function, optimizer -> step                        `make_step`: for any loss; our model is one caller
batch -> loss -> gradients -> optimizer -> state        `update`: the step of our model
update, update, update, ...                             `run_steps`: jitted, with donated buffers
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxrnn.config import ModelConfig, TrainConfig
from jaxrnn.data import batching
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.models.precision import products_in, round_weights
from jaxrnn.parallel.devices import split_rows
from jaxrnn.training.accumulation import mean_gradient
from jaxrnn.training.averaging import update_average
from jaxrnn.training.optimizer import learning_rate, make_optimizer
from jaxrnn.training.state import TrainState
from jaxrnn.types import Array, Carry, Key, Params

MAX_SKIPPED = 5  # consecutive skipped updates after which the run has diverged
_RESETS = 2  # folded into the key of the run for resets; splitting it for batches and dropout uses 0 and 1


class Update(NamedTuple):
    """The result of a step."""

    params: Params  # unchanged if the update was skipped
    opt_state: Any  # unchanged if the update was skipped
    aux: Any  # the second result of the loss function
    loss: Array  # scalar
    grad_norm: Array  # scalar, of all gradients together, before the optimizer
    is_finite: Array  # bool scalar; False: loss or gradient is not finite, and the update was skipped


def make_step(
    loss_fn: Callable[..., tuple[Array, Any]],
    optimizer: optax.GradientTransformation,
    *,
    value_and_grad: Callable[..., Callable[..., Any]] = jax.value_and_grad,
) -> Callable[..., Update]:
    """Make a training step from a loss function and an optimizer.

    If the loss or a gradient is not finite, the update is skipped.

    Args:
        loss_fn: `(params, *args) -> (loss, aux)`: a scalar, and any pytree, such as a carry.
        optimizer: An optax gradient transformation.
        value_and_grad: The transformation that differentiates `loss_fn`; called as `jax.value_and_grad` with
            `has_aux=True`.

    Returns:
        `step(params, opt_state, *args, rate=1.0) -> Update`, a pure function to be jitted. The optimizer's updates are
        multiplied by `rate`, a scalar that may change from call to call.

    Example:
        >>> import optax
        >>> from jaxrnn import init_lstm, lstm, lstm_carry
        >>> params, optimizer = init_lstm(jax.random.key(0), input_size=2, hidden_size=4), optax.adam(1e-2)
        >>> def loss_fn(params, carry, xs):
        ...     carry, hs = lstm(params, carry, xs)
        ...     return (hs**2).mean(), carry
        >>> step = jax.jit(make_step(loss_fn, optimizer))
        >>> update = step(params, optimizer.init(params), lstm_carry(params, 3), jnp.ones((5, 3, 2)))
        >>> update.aux.h.shape, bool(update.is_finite)
        ((3, 4), True)
    """
    differentiate = value_and_grad(loss_fn, has_aux=True)

    def step(params: Params, opt_state: Any, *args: Any, rate: Array | float = 1.0) -> Update:
        (loss, aux), gradients = differentiate(params, *args)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes Python and array scalars
            updates, new_opt_state = optimizer.update(gradients, opt_state, params)
            updates = jax.tree.map(lambda leaf: leaf * jnp.asarray(rate).astype(leaf.dtype), updates)
            new_params = optax.apply_updates(params, updates)
            grad_norm = optax.tree.norm(gradients)
        is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
        params, opt_state = jax.tree.map(
            lambda new, old: jnp.where(is_finite, new, old),
            (new_params, new_opt_state),
            (params, opt_state),
        )
        return Update(params, opt_state, aux, loss, grad_norm, is_finite)

    return step


@jax.jit
def split_key(key: Key) -> tuple[Key, Key]:
    """Return the keys of batches and of dropout, derived from the key of the run."""
    copy: Key = jax.random.clone(key)  # type: ignore[no-untyped-call]
    batch_key, dropout_key = jax.random.split(copy)
    return batch_key, dropout_key


def update(
    model_config: ModelConfig,
    config: TrainConfig,
    state: TrainState,
    ids: Array | batching.Block,
    mesh: Mesh | None = None,
    separator_id: int | None = None,
) -> tuple[TrainState, Array, Array]:
    """Update the training state with the batch or batches of step `state.step`; a pure function.

    After a skipped update, the carry is reset to zero and training continues with the next batch.

    Args:
        model_config: The layers.
        config: The other hyperparameters.
        state: The state before the step.
        ids: The training split `[tokens]`, or a block that contains the step.
        mesh: The devices that share the batch; None does not move arrays.
        separator_id: The token before which the carry is reset; None: no separator.

    Returns:
        The state after the step; the mean loss in nats per token; the global norm of the gradient.
    """
    batch_key, dropout_key = split_key(state.key)

    def read(number: Array, carry: Carry) -> tuple[Array, Array, Carry]:
        """Return inputs and targets of a batch, and its initial carry."""
        inputs, targets, is_fresh = batching.batch(config, batch_key, number + state.shift, ids)
        if mesh is not None:
            inputs, targets = split_rows(mesh, (inputs, targets))
        if config.reset_rate > 0:
            is_fresh |= batching.draw_resets(config, jax.random.fold_in(state.key, _RESETS), number)[:, None]
        carry = jax.tree.map(lambda leaf: jnp.where(is_fresh, jnp.zeros_like(leaf), leaf), carry)
        return inputs, targets, carry

    def mean_loss(
        params: Params, carry: Carry, inputs: Array, targets: Array, key: Key
    ) -> tuple[Array, Carry]:
        weights = round_weights(params, config.precision)
        resets = find_resets(inputs, separator_id)
        carry_out, logits = stack.apply(model_config, weights, carry, inputs, key, resets)
        return softmax_cross_entropy(logits, targets).mean(), carry_out

    def over_batches(loss_fn: Callable[..., tuple[Array, Carry]], has_aux: bool) -> Callable[..., Any]:
        """Replace `jax.value_and_grad`: differentiate the mean loss of several batches."""
        differentiate = jax.value_and_grad(loss_fn, has_aux=has_aux)
        first, count = state.step * config.accumulate_steps, config.accumulate_steps

        def mean(params: Params, carry: Carry) -> tuple[tuple[Array, Carry], Params]:
            return mean_gradient(differentiate, read, params, carry, dropout_key, first, count, mesh)

        return mean

    optimizer, rate = make_optimizer(config), current_rate(config, state)
    with products_in(config.precision):
        if config.accumulate_steps == 1:
            inputs, targets, carry = read(state.step, state.carry)
            step_key = jax.random.fold_in(dropout_key, state.step)
            step = make_step(mean_loss, optimizer)
            new = step(state.params, state.opt_state, carry, inputs, targets, step_key, rate=rate)
        else:
            step = make_step(mean_loss, optimizer, value_and_grad=over_batches)
            new = step(state.params, state.opt_state, state.carry, rate=rate)

    def if_finite(leaf: Array, otherwise: Array) -> Array:
        return jnp.where(new.is_finite, leaf, otherwise)

    average = update_average(config, state.average, new.params)
    state = state._replace(
        step=state.step + 1,
        params=new.params,
        opt_state=new.opt_state,
        average=jax.tree.map(if_finite, average, state.average),
        carry=jax.tree.map(lambda leaf: if_finite(leaf, jnp.zeros_like(leaf)), new.aux),
        skipped=if_finite(jnp.zeros_like(state.skipped), state.skipped + 1),
        loss_sum=state.loss_sum + if_finite(new.loss, jnp.zeros_like(new.loss)),
        loss_count=state.loss_count + new.is_finite.astype(jnp.int32),
    )
    return state, new.loss, new.grad_norm


def current_rate(config: TrainConfig, state: TrainState) -> Array:
    """Return the learning rate of the next update: the schedule times the factors of plateau and rollback."""
    return learning_rate(config, state.step) * state.plateau.scale * state.rate_scale


class Tally(NamedTuple):
    """Statistics of a dispatch of steps, all scalars."""

    loss_sum: Array  # over the updates that were not skipped
    updates: Array  # number of updates that were not skipped
    loss: Array  # of the last step
    grad_norm: Array  # of the last step
    learning_rate: Array  # of the last step


@partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="separator_id", donate_argnums=3)
def run_steps(
    model_config: ModelConfig,
    config: TrainConfig,
    mesh: Mesh,
    state: TrainState,
    ids: Array | batching.Block,
    num_steps: Array,
    *,
    separator_id: int | None = None,
) -> tuple[TrainState, Tally, Array]:
    """Run `num_steps` updates, or fewer if too many in a row are skipped; also return if the parameters are finite.

    A `while_loop`, not a `scan`: its length can change from call to call without a new compilation, so a dispatch takes
    a fraction of a second and ends exactly where an evaluation is due.
    """
    end = state.step + num_steps

    def should_continue(loop: tuple[TrainState, Tally]) -> Array:
        state, _ = loop
        return (state.step < end) & (state.skipped < MAX_SKIPPED)

    def body(loop: tuple[TrainState, Tally]) -> tuple[TrainState, Tally]:
        state, tally = loop
        rate = current_rate(config, state)
        state, loss, grad_norm = update(model_config, config, state, ids, mesh, separator_id)
        is_skipped = state.skipped > 0
        return state, Tally(
            loss_sum=tally.loss_sum + jnp.where(is_skipped, jnp.zeros_like(loss), loss),
            updates=tally.updates + (~is_skipped).astype(jnp.int32),
            loss=loss,
            grad_norm=grad_norm,
            learning_rate=rate,
        )

    zero = jnp.zeros((), jnp.float32)
    loop = (state, Tally(zero, jnp.zeros((), jnp.int32), zero, zero, zero))
    state, tally = jax.lax.while_loop(should_continue, body, loop)
    # Finite gradients can still overflow a weight that no later batch has used.
    is_finite = jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)]))
    return state, tally, is_finite
