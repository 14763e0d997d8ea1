"""Estimates for a dry run: the memory that a training run needs, and the files that it writes."""

import importlib.util
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.data.feeding import BLOCK_BYTES
from jaxrnn.data.vocabulary import id_type
from jaxrnn.evaluation.validation import logits_at_once
from jaxrnn.layers.losses import softmax_cross_entropy
from jaxrnn.models.stack import apply, count_parameters
from jaxrnn.parallel.targets import TARGETS, target_devices
from jaxrnn.runs import directory
from jaxrnn.training.ahead import compile_steps
from jaxrnn.training.state import init_state
from jaxrnn.workflows.corpus import Data
from jaxrnn.workflows.training import LOSS_CURVE


class Memory(NamedTuple):
    """The memory of a training run; all fields except the first are in bytes."""

    parameters: int  # number of parameters
    state: int  # parameters, optimizer state, carry
    update: int  # gradients and residuals of the backward pass
    evaluation: int  # logits of the validation tokens that are read at once, and their softmax
    corpus: int

    @property
    def total(self) -> int:
        """The total, without the overhead of Python and XLA; updates and evaluations alternate."""
        return self.state + max(self.update, self.evaluation) + self.corpus


def estimate_memory(data: Data) -> Memory:
    """Estimate the memory of a training run from array shapes, without computing."""
    config = data.config
    state = jax.eval_shape(lambda: init_state(config, data.vocabulary.size))

    def backward(params: Any, carry: Any, key: Any) -> Any:
        """Return the backward pass, a function that holds its residuals."""
        tokens = jnp.zeros((config.train.batch_size, config.train.seq_len), jnp.int32)

        def loss(params: Any) -> Any:
            _, logits = apply(config.model, params, carry, tokens, key)
            return softmax_cross_entropy(logits, tokens).mean()

        return jax.vjp(loss, params)[1]

    kept = jax.eval_shape(backward, state.params, state.carry, state.key)
    gradients = (
        2 if config.train.accumulate_steps > 1 else 1
    )  # the sum over batches, and the gradient of one batch
    return Memory(
        parameters=count_parameters(state.params),
        state=_bytes(state),
        update=_bytes(kept) + gradients * _bytes(state.params),
        evaluation=2 * 4 * logits_at_once(len(data.val_ids), data.vocabulary.size),
        corpus=data.train_ids.nbytes + data.val_ids.nbytes,
    )


def memory_on(target: str, data: Data) -> int | None:
    """Compile the training steps for an accelerator that need not be here, and return the memory they take there.

    Args:
        target: A key of `parallel.targets.TARGETS`.
        data: The run's.

    Returns:
        The most bytes that one device holds at once, a resident corpus included; None if it has less memory.

    Raises:
        ConfigError: No compiler for the target is installed.
    """
    devices = target_devices(target)
    kind = id_type(data.vocabulary)
    here = (
        3 * BLOCK_BYTES // kind.itemsize if data.is_streamed else len(data.train_ids)
    )  # a block and the next two
    ids = jax.eval_shape(lambda: jnp.zeros(here, kind))
    try:
        compiled = compile_steps(
            data.config, data.vocabulary.size, ids, devices, data.vocabulary.separator_id
        )
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            return None
        raise
    found: Any = compiled.memory_analysis()
    peak: int = found.peak_memory_in_bytes
    return peak if peak <= TARGETS[target].memory else None


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def files_written() -> list[str]:
    """Return the names of the files and folders of a run directory."""
    files = [directory.RECORD, directory.CONFIG, directory.VOCABULARY, directory.METRICS, directory.SAMPLES]
    return [*files, f"{directory.STEPS}/"] + [LOSS_CURVE] * bool(importlib.util.find_spec("matplotlib"))
