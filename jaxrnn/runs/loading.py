"""A trained model: all of a run that is needed to use it."""

from pathlib import Path
from typing import NamedTuple

from jaxrnn.config import Config, ModelConfig
from jaxrnn.data.documents import resolve_separator
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.runs.checkpoint import load_params
from jaxrnn.runs.directory import read_config, read_vocabulary
from jaxrnn.types import Params


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
    config, vocabulary = read_resolved(run)
    return Trained(name, config.model, load_params(run, config.model, vocabulary.size), vocabulary)


def read_resolved(run: Path) -> tuple[Config, Vocabulary]:
    """Reads a run's vocabulary, and its config as its model is used: with the separator's id.

    Raises:
        CheckpointError: One of them is missing or damaged.
        ConfigError: The config is not valid.
        VocabularyError: The vocabulary is none.
    """
    vocabulary = read_vocabulary(run)
    return resolve_separator(read_config(run), vocabulary), vocabulary
