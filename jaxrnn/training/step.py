"""One update of the parameters, and many of them in one call.

batch -> loss -> gradients -> optimizer -> state        `update`, a pure function; of several batches: `accumulating.py`
update, update, update, ...                             `run_steps`, jitted, its buffers donated
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxrnn.config import ModelConfig, TrainConfig
from jaxrnn.data import batching
from jaxrnn.layers.losses import softmax_cross_entropy
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


def update(
    model_config: ModelConfig,
    config: TrainConfig,
    state: TrainState,
    ids: Array | batching.Block,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Array, Array]:
    """One optimizer step on what `state.step` stands for, a batch or several: a pure function that `train` runs jitted.

    A loss or a gradient that is not finite must not touch what was learned: such an update is skipped. Parameters,
    average and optimizer stay as they were, the carry starts anew, and training goes on with the next batch.

    Args:
        model_config: the layers.
        config: the other hyperparameters.
        state: before the step.
        ids: the training text `[characters]`, or a block of it that has the step.
        mesh: the devices that share the batch; None leaves everything where it is.

    Returns:
        The state after the step; the mean loss of its characters, nats each; the gradient's global norm.
    """
    batch_key, dropout_key = jax.random.split(state.key)

    def read(number: Array, carry: Carry) -> tuple[Array, Array, Carry]:
        """Inputs and targets of a batch, and the carry that it begins with."""
        inputs, targets, is_fresh = batching.batch(config, batch_key, number, ids)
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
        carry_out, logits = stack.apply(model_config, weights, carry, inputs, key)
        return softmax_cross_entropy(logits, targets).mean(), carry_out

    differentiate = jax.value_and_grad(mean_loss, has_aux=True)
    if config.accumulate_steps == 1:
        inputs, targets, carry = read(state.step, state.carry)
        step_key = jax.random.fold_in(dropout_key, state.step)
        (loss, carry), gradients = differentiate(state.params, carry, inputs, targets, step_key)
    else:
        count = config.accumulate_steps
        first = state.step * count
        loss, carry, gradients = mean_gradient(
            differentiate, read, state.params, state.carry, dropout_key, first, count, mesh
        )
    rate = current_rate(config, state)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes Python and array scalars
        updates, opt_state = make_optimizer(config).update(gradients, state.opt_state, state.params)
        updates = jax.tree.map(lambda leaf: leaf * rate.astype(leaf.dtype), updates)
        params = optax.apply_updates(state.params, updates)
        grad_norm = optax.tree.norm(gradients)
    is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)

    def if_finite(new: Array, otherwise: Array) -> Array:
        return jnp.where(is_finite, new, otherwise)

    state = state._replace(
        step=state.step + 1,
        params=jax.tree.map(if_finite, params, state.params),
        opt_state=jax.tree.map(if_finite, opt_state, state.opt_state),
        average=jax.tree.map(if_finite, update_average(config, state.average, params), state.average),
        carry=jax.tree.map(lambda leaf: if_finite(leaf, jnp.zeros_like(leaf)), carry),
        skipped=if_finite(jnp.zeros_like(state.skipped), state.skipped + 1),
        loss_sum=state.loss_sum + if_finite(loss, jnp.zeros_like(loss)),
        loss_count=state.loss_count + is_finite.astype(jnp.int32),
    )
    return state, loss, grad_norm


def current_rate(config: TrainConfig, state: TrainState) -> Array:
    """The learning rate of the update that comes next: the schedule's, the plateau's and a rollback's factor on it."""
    return learning_rate(config, state.step) * state.plateau.scale * state.rate_scale


class Tally(NamedTuple):
    """What a dispatch of steps reports, scalars all."""

    loss_sum: Array  # of the updates that were not skipped
    updates: Array  # how many these are
    loss: Array  # of the last step
    grad_norm: Array  # likewise
    learning_rate: Array  # likewise


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def run_steps(
    model_config: ModelConfig,
    config: TrainConfig,
    mesh: Mesh,
    state: TrainState,
    ids: Array | batching.Block,
    num_steps: Array,
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
        state, loss, grad_norm = update(model_config, config, state, ids, mesh)
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
