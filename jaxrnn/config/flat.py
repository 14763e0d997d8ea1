"""A config as flat keys and values, for comparison."""

from dataclasses import asdict

from jaxrnn.config.schema import Config
from jaxrnn.config.toml import toml_string


def flatten(config: Config) -> dict[str, str]:
    """Return the values of a config as strings by key, such as `train.steps`; each layer is one value."""
    values = {f"model.layers[{index}]": str(layer) for index, layer in enumerate(config.model.layers)}
    for section in ("corpus", "train", "sample"):
        for key, value in asdict(getattr(config, section)).items():
            values[f"{section}.{key}"] = toml_string(value) if isinstance(value, str) else str(value)
    return values
