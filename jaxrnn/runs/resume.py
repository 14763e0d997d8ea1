"""Resuming a run: what may have changed in its config since it began, and what that does."""

import shlex
from pathlib import Path

import jax.numpy as jnp

from jaxrnn.config import Config, TrainConfig
from jaxrnn.config.flat import flatten
from jaxrnn.errors import ConfigError
from jaxrnn.training.optimizer import learning_rate

# The position in the corpus and the random numbers drawn so far follow from these; the gradients and parameters that a
# run remembers are of these kinds; it learns from this corpus, and resets its state there.
_FIXED = (
    *("train.stateful", "train.rng_seed"),
    *("train.optimizer", "train.ema_decay"),
    *("corpus.tokens", "corpus.separator"),
    *("corpus.validation", "corpus.validation_fraction", "corpus.test", "corpus.test_fraction"),
)


def check_resumable(run: Path, begun: Config, wanted: Config) -> list[str]:
    """Return what of a config has changed since the run began, each as `train.steps 100 -> 200`.

    Another `corpus.text` may name the same corpus elsewhere: its hash is compared when it is read.

    Args:
        run: The run, for messages.
        begun: Its config.
        wanted: The config that it is to resume with.

    Raises:
        ConfigError: With these changes it would be another training: other layers, another corpus or tokens, another
            optimizer or average.
    """
    before, after = flatten(begun), flatten(wanted)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    for key in changed:
        if key in _FIXED or key.startswith("model.layers"):
            finetune = f", or train on from its weights: jaxrnn finetune --from {shlex.quote(str(run))} --corpus TEXT"
            raise ConfigError(
                f"{run}: can't be resumed with another {key}: the run has {before.get(key)}, the config "
                f"{after.get(key)}; take the run's value, start a new run with --to RUN or --overwrite"
                + (finetune if key.startswith("train.") else "")
            )
    return [f"{key} {before[key]} -> {after[key]}" for key in changed]


def describe_schedule(begun: TrainConfig, wanted: TrainConfig, step: int) -> str | None:
    """Return what another number of steps does to the learning rate at `step`; None where the number is the same."""
    if begun.steps == wanted.steps:
        return None
    if wanted.schedule in ("constant", "plateau"):
        return f"the {wanted.schedule} schedule does not depend on train.steps"
    before, after = (float(learning_rate(config, jnp.int32(step))) for config in (begun, wanted))
    return (
        f"the {wanted.schedule} schedule is drawn anew and ends at step {wanted.steps}: "
        f"the learning rate goes from {before:.3g} to {after:.3g}"
    )
