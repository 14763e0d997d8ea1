"""The configs that come with jaxrnn, by name."""

from pathlib import Path

from jaxrnn.disk import user_path
from jaxrnn.errors import ConfigError, did_you_mean

# In a wheel they lie in the package; in a checkout, which holds the one source, in `configs/` beside it.
_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with jaxrnn by name, in alphabetical order."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def find_config(name: str | Path) -> Path:
    """Return the config file that `name` means: the name of a shipped config, or a path.

    A shipped config wins over a file of the same name; `./name` is the file.

    Raises:
        ConfigError: It is a bare name, and there is neither such a config nor such a file.
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
