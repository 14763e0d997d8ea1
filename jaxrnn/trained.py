"""A trained model: all of a run that is needed to use it."""

from pathlib import Path
from typing import NamedTuple

from jaxrnn.checkpoint import load_params
from jaxrnn.config import ModelConfig
from jaxrnn.run_directory import read_config, read_vocabulary
from jaxrnn.types import Params
from jaxrnn.vocabulary import Vocabulary


class Trained(NamedTuple):
    """A model, its characters, and what to call it."""

    name: str
    config: ModelConfig
    params: Params
    vocabulary: Vocabulary


def load_trained(run: Path, name: str) -> Trained:
    """Loads the best checkpoint of a run.

    Args:
        run: the run directory, `checkpoints/shakespeare` say; nothing beside it is needed.
        name: what to call it.

    Raises:
        CheckpointError: The run is missing or damaged.
        ConfigError: Its config is not valid.
        VocabularyError: Its vocabulary is none.
    """
    config, vocabulary = read_config(run).model, read_vocabulary(run)
    return Trained(name, config, load_params(run, config, vocabulary.size), vocabulary)
