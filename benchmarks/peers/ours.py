"""jaxrnn itself, by the path that `jaxrnn pretrain` takes: many steps a dispatch, the text on the device."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.task import Task
from jaxrnn.config import (
    Config,
    DenseConfig,
    EmbeddingConfig,
    GRUConfig,
    LSTMConfig,
    ModelConfig,
    TrainConfig,
)
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models import stack
from jaxrnn.parallel.devices import choose_cpu_devices, replicate, split_rows, training_mesh
from jaxrnn.sampling.generation import sample as sample_blocks
from jaxrnn.training.state import init_state
from jaxrnn.training.step import run_steps
from jaxrnn.types import Array, Carry, Params


def train(case: Case, precision: str = "float32") -> Task:
    """The library's training; counts steps, returns the last loss."""
    config = _config(case, precision)
    jax.config.update("jax_num_cpu_devices", choose_cpu_devices(config))  # type: ignore[no-untyped-call]
    mesh = training_mesh(config.train)
    text = np.random.default_rng(0).integers(0, case.vocabulary, case.characters, np.uint8)
    ids = replicate(mesh, jnp.asarray(text))
    state = replicate(mesh, init_state(config, case.vocabulary))
    state = state._replace(carry=split_rows(mesh, state.carry))

    def run(steps: int) -> float:
        nonlocal state
        state, tally, _ = run_steps(config.model, config.train, mesh, state, ids, jnp.int32(steps))
        return float(tally.loss)

    return Task(run, f"{mesh.size} device{'s' * (mesh.size > 1)}, {precision}")


def sample(case: Case) -> Task:
    """The library's sampling, `case.batch` texts side by side; counts characters of each."""
    config = _config(case, "float32")
    params = init_state(config, case.vocabulary).params

    def run(length: int) -> float:
        blocks = sample_blocks(
            config.model,
            params,
            np.zeros(1, np.uint8),
            length=length,
            temperature=0.8,
            num_samples=case.batch,
        )
        return float(sum(block.ids.shape[1] for block in blocks))

    return Task(run, "one scan a block")


def residuals(case: Case) -> Task:
    """Its run returns the bytes that the forward pass keeps for the backward pass, beyond parameters and inputs."""
    config = _config(case, "float32").model

    def backward(params: Params, carry: Carry, tokens: Array) -> Any:
        def losses(params: Params) -> Array:
            _, logits = stack.apply(config, params, carry, tokens)
            return softmax_cross_entropy(logits, tokens)

        return jax.vjp(losses, params)[1]  # a pytree, whose leaves are the residuals

    def run(_count: int) -> float:
        params = jax.eval_shape(lambda: stack.init(jax.random.key(0), config, case.vocabulary))
        carry = jax.eval_shape(lambda params: stack.initial_carry(config, params, case.batch), params)
        tokens = jax.eval_shape(lambda: jnp.zeros((case.batch, case.time), jnp.int32))
        traced = jax.make_jaxpr(backward)(params, carry, tokens).jaxpr
        kept = set(traced.outvars) - set(traced.invars)
        return float(sum(math.prod(var.aval.shape) * var.aval.dtype.itemsize for var in kept))

    return Task(run)


def _config(case: Case, precision: str) -> Config:
    options: dict[str, Any] = {"batch_size": case.batch, "seq_len": case.time, "precision": precision}
    if "precision" not in {field.name for field in dataclasses.fields(TrainConfig)}:
        del options["precision"]
    train = TrainConfig(steps=2**31 - 1, learning_rate=1e-3, schedule="constant", **options)
    cells = [
        LSTMConfig(size=case.hidden) if case.cell == "lstm" else GRUConfig(size=case.hidden)
    ] * case.layers
    layers = (EmbeddingConfig(size=case.embedding), *cells, DenseConfig())
    return Config(model=ModelConfig(layers=layers), train=train)
