"""Small models of every kind with random parameters, to export."""

from pathlib import Path

import jax
import numpy as np

from jaxrnn.config import (
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    ModelConfig,
    RNNBlockConfig,
    RNNConfig,
)
from jaxrnn.data.vocabulary import Vocabulary, encode
from jaxrnn.interchange.characters import Imported
from jaxrnn.interchange.description import by_name
from jaxrnn.interchange.importing import create_imported_run
from jaxrnn.models import stack
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.reference.model import initial_carry, model_forward

STACKS: dict[str, tuple[LayerConfig, ...]] = {
    "rnn": (RNNConfig(size=4),),
    "lstm": (LSTMConfig(size=4, recurrent_dropout=0.3),),
    "gru": (GRUConfig(size=4),),
    "block of rnn": (RNNBlockConfig(cell="rnn"),),
    "block of lstm": (RNNBlockConfig(cell="lstm"),),
    "block of gru": (RNNBlockConfig(cell="gru"),),
    "two layers": (LSTMConfig(size=5), DropoutConfig(rate=0.5), GRUConfig(size=7)),
    "one unit": (LSTMConfig(size=1), GRUConfig(size=1)),
    "all at once": (
        DropoutConfig(rate=0.2),
        GRUConfig(size=5),
        DenseConfig(size=6),
        RNNBlockConfig(cell="lstm"),
        DropoutConfig(rate=0.5, variational=True),
        RNNConfig(size=2),
        LSTMConfig(size=7),
    ),
}
CHARACTERS = "\n !abcdefgé"
VOCABULARY = Vocabulary(CHARACTERS)


def drawn(
    layers: tuple[LayerConfig, ...], *, scale: float = 0.7, vocabulary: Vocabulary = VOCABULARY
) -> LanguageModel:
    """A model whose parameters, including biases, are drawn from a normal distribution."""
    config = ModelConfig(layers=(EmbeddingConfig(size=6), *layers, DenseConfig()))
    shapes = jax.eval_shape(lambda key: stack.init(key, config, vocabulary.size), jax.random.key(0))
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda leaf: rng.normal(scale=scale, size=leaf.shape).astype(np.float32), shapes)
    return LanguageModel(config, params, vocabulary, "drawn")


def write_run(model: LanguageModel, run: Path) -> None:
    """Write a run directory of an untrained model."""
    imported = Imported(model.config, model.params, model.vocabulary, ())
    create_imported_run(run, imported, Path(__file__))


def some_tokens(batch_size: int, length: int) -> np.ndarray:
    return np.random.default_rng(5).integers(len(CHARACTERS), size=(batch_size, length))


def in_numpy(trained: LanguageModel, tokens: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits and states, by name, of the NumPy reference in float64."""
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), trained.params)
    layers = trained.config.layers
    carry, logits, _ = model_forward(layers, params, initial_carry(layers, params, len(tokens)), tokens)
    return logits, by_name(carry)  # type: ignore[return-value]


def our_logits(trained: LanguageModel, text: str) -> np.ndarray:
    """The logits after each character, `[time, vocabulary]`."""
    params = jax.tree.map(jax.numpy.asarray, trained.params)
    ids = encode(trained.vocabulary, text).astype(np.int32)[None]
    carry = stack.initial_carry(trained.config, params, 1)
    return np.asarray(stack.apply(trained.config, params, carry, jax.numpy.asarray(ids))[1][0])
