"""A config as flat keys and values."""

from jaxrnn.config import Config, CorpusConfig, TrainConfig
from jaxrnn.config.flat import flatten


def test_keys_are_named_as_in_the_file_with_one_per_layer() -> None:
    config = Config(corpus=CorpusConfig(text="a.txt"), train=TrainConfig(steps=7))
    found = flatten(config)
    assert (found["corpus.text"], found["train.steps"]) == ('"a.txt"', "7")
    layers = [key for key in found if key.startswith("model.")]
    assert layers == [f"model.layers[{index}]" for index in range(len(config.model.layers))]
    assert "size=" in found["model.layers[0]"]
