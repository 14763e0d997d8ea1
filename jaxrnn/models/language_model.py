"""A trained language model: all that is needed to use it."""

from typing import NamedTuple

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import counted
from jaxrnn.types import Params


class LanguageModel(NamedTuple):
    """A model, its parameters and its vocabulary."""

    config: ModelConfig  # the layers
    params: Params  # a tuple with one entry a layer, as `models.stack.init` returns it
    vocabulary: Vocabulary
    name: str = ""  # what pages and exported files call it

    def __repr__(self) -> str:
        layers = ", ".join(layer.type for layer in self.config.layers)
        tokens = counted(self.vocabulary.size, self.vocabulary.unit)
        return f"LanguageModel({self.name or 'in memory'}: {layers}; {tokens})"
