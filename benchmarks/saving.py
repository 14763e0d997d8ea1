"""What saving costs: how long training stands still for a checkpoint, and how long going back to one takes.

    python -m benchmarks.saving

For parameters of 1 MB and of 100 MB, with the two moments of the optimizer three times as much is written. Each number
is the median of several rounds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.models.stack import count_parameters
from jaxrnn.runs.checkpoint import save_new
from jaxrnn.runs.directory import STEPS
from jaxrnn.runs.saved_steps import SavedStep
from jaxrnn.runs.saving import Checkpoints
from jaxrnn.training.state import TrainState, init_state

_SIZES = (160, 1760)  # LSTM units for about 1 and 100 MB of parameters


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of which the median is taken (default 7)")
    rounds = parser.parse_args().rounds
    print(f"{'parameters':>12}  {'training stands still':>22}  {'written after':>14}  {'restored in':>12}")
    for size in _SIZES:
        layers = (EmbeddingConfig(size=size), LSTMConfig(size=size), DenseConfig())
        state = init_state(Config(model=ModelConfig(layers=layers)), 65)
        still, written, restored = (
            statistics.median(column) for column in zip(*_measure(state, rounds), strict=True)
        )
        megabytes = count_parameters(state.params) * 4 / 1e6
        print(
            f"{megabytes:9.1f} MB  {still * 1e3:19.1f} ms  {written * 1e3:11.0f} ms  {restored * 1e3:9.0f} ms"
        )


def _measure(state: TrainState, rounds: int) -> list[tuple[float, float, float]]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / STEPS).mkdir()
        save_new(run / STEPS, state, SavedStep(0))
        found = []
        with Checkpoints(run) as checkpoints:
            for number in range(1, rounds + 1):
                # An array once copied to the host is kept there: each round saves arrays of its own.
                fresh = jax.tree.map(_changed, state)
                jax.tree.map(lambda leaf: leaf.block_until_ready(), fresh)
                begun = time.perf_counter()
                checkpoints.save(number, fresh)
                returned = time.perf_counter()
                checkpoints.wait()
                written = time.perf_counter()
                jax.tree.map(
                    lambda leaf: leaf.block_until_ready(), checkpoints.restore(lambda _: state).state
                )
                restored = time.perf_counter()
                found.append((returned - begun, written - begun, restored - written))
        return found


def _changed(leaf: jax.Array) -> Any:
    return leaf + jnp.ones((), leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


if __name__ == "__main__":
    main()
