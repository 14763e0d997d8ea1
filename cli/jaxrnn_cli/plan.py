"""What a training would be, before it is: `--dry-run`."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxrnn_cli import console
from jaxrnn_cli.data import Data
from jaxrnn_cli.destination import Begun

if TYPE_CHECKING:
    from jaxrnn.config import Config


class Memory(NamedTuple):
    """What a training holds in memory; all but the first in bytes."""

    parameters: int  # how many numbers are learned
    state: int  # parameters, optimizer, carried state
    update: int  # gradients, and what the backward pass remembers of the forward pass
    text: int

    @property
    def total(self) -> int:
        """All of it together, without what Python and XLA need for themselves."""
        return self.state + self.update + self.text


def print_plan(run: Path, config: "Config", data: Data, begun: Begun | None = None) -> None:
    """Prints to stdout what would be trained and written."""
    from jaxrnn.data.stream import Stream
    from jaxrnn.data.texts import several

    train = config.train
    where = ", read from the disk" if isinstance(data.train_ids, Stream) else ""
    characters, tokens = len(data.train_ids), data.vocabulary.tokens
    per_step = train.tokens_per_step
    sizes = f"{train.batch_size} x {train.seq_len}"
    if train.accumulate_steps > 1:
        sizes = f"{train.accumulate_steps} batches of {sizes}"
    memory = estimate_memory(config, data)
    state, update, text, total = map(
        console.format_bytes, (memory.state, memory.update, memory.text, memory.total)
    )
    rows = {
        "corpus": f"{data.record.corpus} ({several(data.record.corpus_path)})",
        "vocabulary": f"{data.vocabulary.size} {tokens}",
        "training text": f"{characters:,} {tokens}, which is one epoch{where}",
        "held-out text": f"{len(data.val_ids):,} {tokens}",
        "parameters": f"{memory.parameters:,}",
        "memory": f"about {total}: {state} model and optimizer, {update} for an update, {text} text",
        "steps": f"{train.steps:,} of {per_step:,} {tokens} ({sizes})",
        "epochs": f"{train.steps * per_step / characters:.2f}, each of {characters / per_step:,.1f} steps",
        "would write": f"{run}/ with {', '.join(_files(config))}",
    }
    if begun:
        from jaxrnn.runs.saved_steps import find_step

        rows["would go on"] = f"from step {find_step(run, 'last').step:,}"
        rows["changes"] = ", ".join(begun.changes) or "none"
    for name, value in rows.items():
        console.write(f"{name + ':':<15} {console.one_line(value)}\n")


def estimate_memory(config: "Config", data: Data) -> Memory:
    """Estimates the memory of a training from the shapes alone; nothing is computed."""
    import jax
    import jax.numpy as jnp

    from jaxrnn.layers.losses import softmax_cross_entropy
    from jaxrnn.models.stack import apply, count_parameters
    from jaxrnn.training.state import init_state

    state = jax.eval_shape(lambda: init_state(config, data.vocabulary.size))

    def backward(params: Any, carry: Any, key: Any) -> Any:
        """The backward pass as a function, which holds all that it needs of the forward pass."""
        tokens = jnp.zeros((config.train.batch_size, config.train.seq_len), jnp.int32)

        def loss(params: Any) -> Any:
            _, logits = apply(config.model, params, carry, tokens, key)
            return softmax_cross_entropy(logits, tokens).mean()

        return jax.vjp(loss, params)[1]

    remembered = jax.eval_shape(backward, state.params, state.carry, state.key)
    gradients = 2 if config.train.accumulate_steps > 1 else 1  # of the batches so far, and of this one
    return Memory(
        parameters=count_parameters(state.params),
        state=_bytes(state),
        update=_bytes(remembered) + gradients * _bytes(state.params),
        text=data.train_ids.nbytes + data.val_ids.nbytes,
    )


def _bytes(tree: Any) -> int:
    import jax

    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _files(config: "Config") -> list[str]:
    from jaxrnn.runs import directory as names
    from jaxrnn.runs.tensorboard import FOLDER
    from jaxrnn_cli.loop import LOSS_CURVE

    files = [names.RECORD, names.CONFIG, names.VOCABULARY, names.METRICS, names.SAMPLES, f"{names.STEPS}/"]
    files += [LOSS_CURVE] if importlib.util.find_spec("matplotlib") else []
    return [*files, f"{FOLDER}/"] if config.log.tensorboard else files
