"""Loading of a run's trained model."""

import os

from jaxrnn.models.language_model import LanguageModel
from jaxrnn.runs.checkpoint import load_params
from jaxrnn.runs.directory import find_run, read_config, read_vocabulary
from jaxrnn.runs.saved_steps import Which


def load(run: str | os.PathLike[str] | None = None, checkpoint: Which = "best") -> LanguageModel:
    """Load the trained model of a run.

    Args:
        run: A run directory, or the name of one in `checkpoints/`; None selects the run there that saved last. Only the
            directory is needed, not the corpus.
        checkpoint: "best" (by validation loss), "last", or the step of a saved checkpoint.

    Returns:
        The model, with its parameters on the default device; the averaged parameters if the run averages.

    Raises:
        CheckpointError: The run or the checkpoint is missing or corrupt.
        ConfigError: Its config is not valid.
        VocabularyError: Its vocabulary is not valid.
    """
    found = find_run(None if run is None else os.fspath(run))
    config, vocabulary = read_config(found), read_vocabulary(found)
    params = load_params(found, config.model, vocabulary.size, checkpoint)
    return LanguageModel(config.model, params, vocabulary, found.resolve().name)
