"""Going on with a run: what may have changed since it began, and what that does."""

from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import jax.numpy as jnp

from jaxrnn.config import Config, SampleConfig, TrainConfig
from jaxrnn.config.fields import show
from jaxrnn.errors import ConfigError
from jaxrnn.training.optimizer import learning_rate

# Where a run is in its text, and which random numbers it has drawn, follows from these.
_PLACE = (
    "train.batch_size",
    "train.seq_len",
    "train.accumulate_steps",
    "train.stateful",
    "train.rng_seed",
)
# What it learns from, and where its state is emptied, from these.
_CORPUS = ("tokens", "validation_fraction", "separator")
# What a run remembers of its gradients and of its parameters is of these kinds.
_MEMORY = ("train.optimizer", "train.ema_decay")


def check_resumable(run: Path, begun: Config, wanted: Config) -> list[str]:
    """Returns what of a config has changed since the run began, each as `train.steps 100 -> 200`.

    Where the text lies is not looked at: what counts is its hash.

    Args:
        run: the run, for messages.
        begun: its config.
        wanted: the config that it is to go on with.

    Raises:
        ConfigError: with these changes it would be another training: other layers, other texts or tokens, other
            batches, another optimizer or average.
    """
    for index, (layer, other) in enumerate(zip_longest(begun.model.layers, wanted.model.layers)):
        if layer != other:
            _refuse(run, f"model.layers[{index}]", layer, other)
    for key in _CORPUS:
        there, here = getattr(begun.corpus, key), getattr(wanted.corpus, key)
        if there != here:
            _refuse(run, f"corpus.{key}", show(there), show(here))
    before = {**_options("train", begun.train), **_options("sample", begun.sample)}
    after = {**_options("train", wanted.train), **_options("sample", wanted.sample)}
    changed = [key for key in before if before[key] != after[key]]
    for key in changed:
        if key in _PLACE + _MEMORY:
            _refuse(run, key, before[key], after[key])
    return [f"{key} {before[key]!r} -> {after[key]!r}" for key in changed]


def _options(section: str, config: TrainConfig | SampleConfig) -> dict[str, object]:
    return {f"{section}.{key}": value for key, value in asdict(config).items()}


def _refuse(run: Path, key: str, there: object, here: object) -> None:
    raise ConfigError(
        f"{run}: can't be resumed with another {key}: the run has {there}, the config {here}; "
        "take the run's value, or start a new run with --to RUN or --overwrite"
    )


def describe_schedule(begun: TrainConfig, wanted: TrainConfig, step: int) -> str | None:
    """Returns what another number of steps does to the learning rate at `step`; None where the number is the same."""
    if begun.steps == wanted.steps:
        return None
    if wanted.schedule in ("constant", "plateau"):
        return f"the {wanted.schedule} schedule does not depend on train.steps"
    before, after = (float(learning_rate(config, jnp.int32(step))) for config in (begun, wanted))
    return (
        f"the {wanted.schedule} schedule is drawn anew and ends at step {wanted.steps}: "
        f"the learning rate goes from {before:.3g} to {after:.3g}"
    )
