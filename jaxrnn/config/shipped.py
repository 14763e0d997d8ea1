"""The configs that come with jaxrnn, by name."""

from pathlib import Path

from jaxrnn.disk import user_path
from jaxrnn.errors import ConfigError, did_you_mean

# In a wheel the configs are inside the package; in a checkout they are in `configs/` next to it.
_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")


def shipped_configs() -> dict[str, Path]:
    """Return the paths of the shipped configs by name, in alphabetical order."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def find_config(name: str | Path) -> Path:
    """Return the path of a config, given the name of a shipped config or a path.

    A shipped config takes precedence over a file of the same name; `./name` selects the file.

    Raises:
        ConfigError: A bare name is neither a shipped config nor a file.
    """
    name = str(name)
    configs = shipped_configs()
    if name in configs:
        return configs[name]
    path = user_path(name)
    if name and ("/" in name or "." in name or path.exists()):
        return path
    hint = did_you_mean(name, configs) or f"; give a TOML file, or one of {', '.join(configs)}"
    raise ConfigError(f"{name or repr(name)}: no such config{hint}")
