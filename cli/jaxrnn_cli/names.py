"""What bare names on the command line mean: the configs that come with jaxrnn, and the runs in `checkpoints/`."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

# In a wheel they lie in this package; in a checkout, which holds the one source, in its `configs/`.
_FOLDERS = (Path(__file__).parent / "configs", Path(__file__).parents[2] / "configs")


def shipped_configs() -> dict[str, Path]:
    """Returns the configs that come with jaxrnn by their bare names, in alphabetical order."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}


def closest(given: str, known: Iterable[str]) -> str:
    """Returns a question to end a refusal with: which of the known names was meant; "" if none is near."""
    near = difflib.get_close_matches(given, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def find_config(name: str) -> Path:
    """Returns the config that `name` means: a shipped one's bare name wins over a file; `./name` is the file.

    Raises:
        ConfigError: It is a bare name, and there is neither such a config nor such a file.
    """
    from jaxrnn.errors import ConfigError

    configs = shipped_configs()
    if name in configs:
        return configs[name]
    path = Path(name)
    if name and ("/" in name or "." in name or path.exists()):
        return path
    near = difflib.get_close_matches(name, configs, n=1)
    hint = f"did you mean {near[0]}?" if near else f"give a TOML file, or one of {', '.join(configs)}"
    raise ConfigError(f"{name or repr(name)}: no such config; {hint}")


def find_destination(name: str | None, config: str) -> Path:
    """Returns where a new run goes: a path as it is, a bare name to `checkpoints/`, None after its config.

    Raises:
        CheckpointError: No folder can be called that.
    """
    from jaxrnn.errors import CheckpointError
    from jaxrnn.runs.directory import RUNS, default_run

    if name is None:
        return default_run(config)
    if not name:
        raise CheckpointError("--to: is empty; name a run directory")
    return Path(name) if "/" in name or name in (".", "..") else RUNS / name


def name_runs(runs: Iterable[Path]) -> dict[Path, str]:
    """Returns what to call runs that are shown together, each once: by their folders where these differ."""
    found = list(dict.fromkeys(run.resolve() for run in runs))
    names = [run.name for run in found]
    return {run: run.name if names.count(run.name) == 1 else str(run) for run in found}


# Completion runs at every tab: it looks at names alone and imports nothing.


def complete_config(incomplete: str) -> list[str]:
    """Returns the shipped configs that start like this; with none, a shell goes on to files."""
    return [name for name in shipped_configs() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Returns the runs in `checkpoints/` whose names start like this."""
    return sorted(
        record.parent.name
        for record in Path("checkpoints").glob("*/run.json")
        if record.parent.name.startswith(incomplete)
    )


# The run that a command is about.
FromRun = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="A run directory, or the name of one in checkpoints/.  [default: the newest]",
        autocompletion=complete_run,
    ),
]
