"""Flax: `nnx.RNN` over `OptimizedLSTMCell` (or `GRUCell`), its state split off so that the step is a pure function."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from benchmarks.cases import Case
from benchmarks.peers.jax_loop import make_task
from benchmarks.task import Task

_CELLS = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}


def train(case: Case) -> Task:
    """Training; counts steps, returns the last loss."""
    rngs = nnx.Rngs(0)
    sizes = [case.embedding] + [case.hidden] * (case.layers - 1)
    layers = nnx.List(
        [
            nnx.Embed(case.vocabulary, case.embedding, rngs=rngs),
            *[
                nnx.RNN(_CELLS[case.cell](size, case.hidden, rngs=rngs), time_major=True, rngs=False)
                for size in sizes
            ],
            nnx.Linear(case.hidden, case.vocabulary, rngs=rngs),
        ]
    )
    graph, params = nnx.split(layers)
    zeros = [jnp.zeros((case.batch, case.hidden)) for _ in range(2)]
    carry = [tuple(zeros) if case.cell == "lstm" else zeros[0] for _ in sizes]

    def apply(params: Any, carry: Any, tokens: Any) -> tuple[Any, Any]:
        embed, *recurrent, head = nnx.merge(graph, params)
        xs, carry_out = embed(tokens), []
        for layer, before in zip(recurrent, carry, strict=True):
            after, xs = layer(xs, initial_carry=before, return_carry=True)
            carry_out.append(after)
        return carry_out, head(xs)

    return make_task(case, params, carry, apply)
