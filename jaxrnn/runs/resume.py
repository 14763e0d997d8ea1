"""Rules for resuming a run with a changed config."""

import shlex
from pathlib import Path

import jax.numpy as jnp

from jaxrnn.config import Config, TrainConfig
from jaxrnn.config.flat import flatten
from jaxrnn.errors import ConfigError
from jaxrnn.training.optimizer import learning_rate

# Keys that must not change: the position in the corpus and the random numbers depend on the first row, the optimizer
# state and averaged parameters on the second, the tokens and the splits on the others.
_FIXED = (
    *("train.stateful", "train.rng_seed"),
    *("train.optimizer", "train.ema_decay"),
    *("corpus.tokens", "corpus.separator"),
    *("corpus.validation", "corpus.validation_fraction", "corpus.test", "corpus.test_fraction"),
)


def check_resumable(run: Path, begun: Config, wanted: Config) -> list[str]:
    """Return the config changes between a run and its resumption, each as `train.steps 100 -> 200`.

    `corpus.text` may change, because the same corpus may have moved: its hash is compared when it is read.

    Args:
        run: The run, for messages.
        begun: The config of the run.
        wanted: The config to resume with.

    Raises:
        ConfigError: A key changed that must not: layers, tokens, splits, optimizer, averaging, or the RNG seed.
    """
    before, after = flatten(begun), flatten(wanted)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    for key in changed:
        if key in _FIXED or key.startswith("model.layers"):
            finetune = (
                f", or fine-tune its weights: jaxrnn finetune --from {shlex.quote(str(run))} --corpus TEXT"
            )
            raise ConfigError(
                f"{run}: can't be resumed with another {key}: the run has {before.get(key)}, the config "
                f"{after.get(key)}; take the run's value, start a new run with --to RUN or --overwrite"
                + (finetune if key.startswith("train.") else "")
            )
    return [f"{key} {before[key]} -> {after[key]}" for key in changed]


def describe_schedule(begun: TrainConfig, wanted: TrainConfig, step: int) -> str | None:
    """Return how a changed `train.steps` changes the learning rate at `step`; None if it did not change."""
    if begun.steps == wanted.steps:
        return None
    if wanted.schedule in ("constant", "plateau"):
        return f"the {wanted.schedule} schedule does not depend on train.steps"
    before, after = (float(learning_rate(config, jnp.int32(step))) for config in (begun, wanted))
    return (
        f"the {wanted.schedule} schedule is recomputed and ends at step {wanted.steps}: "
        f"the learning rate changes from {before:.3g} to {after:.3g}"
    )
