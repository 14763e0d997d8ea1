"""`jax.experimental.rnn`: cuDNN's LSTM from JAX, float32 (TF32), GPU only."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from benchmarks.cases import Case
from benchmarks.peers.jax_loop import make_task
from benchmarks.task import Task


def train(case: Case) -> Task:
    """Training; counts steps, returns the last loss.

    Raises:
        ValueError: The cell is not an LSTM.
    """
    if case.cell != "lstm":
        raise ValueError(f"jax.experimental.rnn has no {case.cell}")
    keys = jax.random.split(jax.random.key(0), 3)
    weights = rnn.init_lstm_weight(keys[0], case.embedding, case.hidden, case.layers, bidirectional=False)
    params = {
        "embedding": jax.random.normal(keys[1], (case.vocabulary, case.embedding)),
        "lstm": weights,
        "w": jax.random.normal(keys[2], (case.hidden, case.vocabulary)) * case.hidden**-0.5,
        "b": jnp.zeros((case.vocabulary,)),
    }
    zeros = jnp.zeros((case.layers, case.batch, case.hidden))
    lengths = jnp.full((case.batch,), case.time, jnp.int32)

    def apply(params: Any, carry: Any, tokens: Any) -> tuple[Any, Any]:
        xs = params["embedding"][tokens.T]  # cuDNN's call has the batch first
        h, c = carry
        hs, h, c = rnn.lstm(
            xs, h, c, params["lstm"], lengths, case.embedding, case.hidden, case.layers, 0.0, False
        )
        return (h, c), (hs @ params["w"] + params["b"]).swapaxes(0, 1)

    return make_task(case, params, (zeros, zeros), apply)
