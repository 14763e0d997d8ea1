"""Shared by the peers written in JAX: jaxrnn's optimizer, and many steps in one dispatch.

The parameters, the optimizer's state and the carry are donated; the batches are on the device before the clock starts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.cases import Case
from benchmarks.task import Task

_BATCHES = 16


def random_batches(case: Case) -> np.ndarray:
    """Inputs and, one further on, targets: `[batches, time + 1, batch]`."""
    shape = (_BATCHES, case.time + 1, case.batch)
    return np.random.default_rng(0).integers(0, case.vocabulary, shape, np.int32)


def make_optimizer() -> optax.GradientTransformation:
    """Clipping by the global norm, then AdamW with weight decay on matrices only."""

    def matrices(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)

    adamw = optax.adamw(1e-3, b1=0.9, b2=0.99, weight_decay=0.1, mask=matrices)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


def make_task(
    case: Case, params: Any, carry: Any, apply: Callable[[Any, Any, Any], tuple[Any, Any]], detail: str = ""
) -> Task:
    """Training with `apply(params, carry, inputs [time, batch]) -> (carry, logits [time, batch, vocabulary])`."""
    optimizer = make_optimizer()
    batches = jnp.asarray(random_batches(case))

    def step(index: Any, state: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        params, opt_state, carry, _ = state
        tokens = batches[index % _BATCHES]

        def mean_loss(params: Any) -> tuple[Any, Any]:
            carry_out, logits = apply(params, carry, tokens[:-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[1:])
            return losses.mean(), carry_out

        (loss, carry_out), gradients = jax.value_and_grad(mean_loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, carry_out, loss

    @partial(jax.jit, donate_argnums=0)
    def run_steps(state: Any, num_steps: Any) -> Any:
        return jax.lax.fori_loop(0, num_steps, step, state)

    state = (params, optimizer.init(params), carry, jnp.zeros(()))
    state = jax.tree.map(jnp.copy, state)  # every leaf a buffer of its own, to be donated

    def run(steps: int) -> float:
        nonlocal state
        state = run_steps(state, jnp.int32(steps))
        return float(state[3])

    return Task(run, detail)
