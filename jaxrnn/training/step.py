"""One update of the parameters, and many of them in one call.

loss function, optimizer -> step                        `make_step`: for any loss; our model is one caller
batch -> loss -> gradients -> optimizer -> state        `update`: the step of our model
update, update, update, ...                             `run_steps`: jitted, its buffers donated
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
from jaxrnn.models.precision import round_weights
from jaxrnn.parallel.devices import split_rows
from jaxrnn.training.accumulation import mean_gradient
from jaxrnn.training.averaging import update_average
from jaxrnn.training.optimizer import learning_rate, make_optimizer
from jaxrnn.training.state import TrainState
from jaxrnn.types import Array, Carry, Key, Params

MAX_SKIPPED = 5  # updates in a row that may fail to be finite before training counts as diverged
_RESETS = 2  # the number of the key that resets are drawn from; batches and dropout have 0 and 1


class Update(NamedTuple):
    """The result of a step."""

    params: Params  # as before the step, where it was skipped
    opt_state: Any  # likewise
    aux: Any  # what the loss function returned beside the loss
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

    A loss or a gradient that is not finite does not touch what was learned: the update is skipped.

    Args:
        loss_fn: `(params, *args) -> (loss, aux)`: a scalar, and anything else, such as a carry.
        optimizer: an optax gradient transformation.
        value_and_grad: the transformation that differentiates `loss_fn`, called as `jax.value_and_grad` with
            `has_aux=True`.

    Returns:
        `step(params, opt_state, *args, rate=1.0) -> Update`, a pure function to be jitted. The optimizer's updates are
        multiplied by `rate`, a scalar that may differ from call to call.

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
    """Return the keys of batches and of dropout, from that of the whole run, which stays in use."""
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
    """Update the state of our model with what `state.step` stands for, a batch or several: a pure function.

    After a skipped update the carry starts anew, and training goes on with the next batch.

    Args:
        model_config: the layers.
        config: the other hyperparameters.
        state: before the step.
        ids: the training split `[tokens]`, or a block of it that has the step.
        mesh: the devices that share the batch; None leaves everything where it is.
        separator_id: the token before which the carry is reset; None: there is none.

    Returns:
        The state after the step; the mean loss of its tokens, nats each; the gradient's global norm.
    """
    batch_key, dropout_key = split_key(state.key)

    def read(number: Array, carry: Carry) -> tuple[Array, Array, Carry]:
        """Inputs and targets of a batch, and the carry that it begins with."""
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
        """`jax.value_and_grad` of the mean loss of several batches, from a function of params and carry."""
        differentiate = jax.value_and_grad(loss_fn, has_aux=has_aux)
        first, count = state.step * config.accumulate_steps, config.accumulate_steps

        def mean(params: Params, carry: Carry) -> tuple[tuple[Array, Carry], Params]:
            return mean_gradient(differentiate, read, params, carry, dropout_key, first, count, mesh)

        return mean

    optimizer, rate = make_optimizer(config), current_rate(config, state)
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
    """The learning rate of the update that comes next: the schedule's, the plateau's and a rollback's factor on it."""
    return learning_rate(config, state.step) * state.plateau.scale * state.rate_scale


class Tally(NamedTuple):
    """The report of a dispatch of steps, all scalars."""

    loss_sum: Array  # of the updates that were not skipped
    updates: Array  # how many these are
    loss: Array  # of the last step
    grad_norm: Array  # likewise
    learning_rate: Array  # likewise


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
    """`num_steps` updates in one call, or fewer if too many in a row were skipped; and whether what it holds is finite.

    A loop, not a `scan`: its length may differ from call to call without compiling again, so that a dispatch is as long
    as fits in a fraction of a second and ends exactly where an evaluation is due.
    """
    end = state.step + num_steps

    def goes_on(loop: tuple[TrainState, Tally]) -> Array:
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
    state, tally = jax.lax.while_loop(goes_on, body, loop)
    # Finite gradients can still carry a weight that no batch has looked at beyond what a float holds.
    is_finite = jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)]))
    return state, tally, is_finite
