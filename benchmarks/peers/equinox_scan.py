"""Equinox: `LSTMCell` (or `GRUCell`), mapped over the batch, under `lax.scan`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.cases import Case
from benchmarks.peers.jax_loop import make_task
from benchmarks.task import Task

_CELLS = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}


def train(case: Case) -> Task:
    """Training; counts steps, returns the last loss."""
    keys = jax.random.split(jax.random.key(0), case.layers + 2)
    sizes = [case.embedding] + [case.hidden] * (case.layers - 1)
    layers = (
        eqx.nn.Embedding(case.vocabulary, case.embedding, key=keys[0]),
        *[_CELLS[case.cell](size, case.hidden, key=key) for size, key in zip(sizes, keys[2:], strict=True)],
        eqx.nn.Linear(case.hidden, case.vocabulary, key=keys[1]),
    )
    params, static = eqx.partition(layers, eqx.is_array)
    zeros = jnp.zeros((case.batch, case.hidden))
    carry = [(zeros, zeros) if case.cell == "lstm" else zeros for _ in sizes]

    def apply(params: Any, carry: Any, tokens: Any) -> tuple[Any, Any]:
        embed, *cells, head = eqx.combine(params, static)
        xs, carry_out = jax.vmap(jax.vmap(embed))(tokens), []
        for cell, before in zip(cells, carry, strict=True):

            def step(carry: Any, x: Any, cell: Any = cell) -> tuple[Any, Any]:
                carry = jax.vmap(cell)(x, carry)
                return carry, carry[0] if case.cell == "lstm" else carry

            after, xs = jax.lax.scan(step, before, xs)
            carry_out.append(after)
        return carry_out, jax.vmap(jax.vmap(head))(xs)

    return make_task(case, params, carry, apply)
