"""The generated pages of the site, in docs/generated/: the command line, the keys of a config, and the public API.

`PUBLIC` is what a minor version keeps: names that are not in it may change in any release.
"""

import dataclasses
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxrnn
from jaxrnn.config import Config

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "generated"

_LAYERS = ["Embedding", "Dense", "Dropout", "RNN", "LSTM", "MogrifierLSTM", "GRU", "RNNBlock"]
_LAYERS += ["MinGRU", "MinLSTM", "RGLRU"]
_TOP = [name for names in jaxrnn._PUBLIC.values() for name in names]
# Modules, what each is for, and its public names.
PUBLIC: dict[str, tuple[str, list[str]]] = {
    "jaxrnn": ("Training and using models; layers and loss", _TOP),
    "jaxrnn.config": (
        "Configs",
        [
            *("load_config", "find_config", "parse_config", "dump_config", "Config", "CorpusConfig"),
            *("ModelConfig", "TrainConfig", "SampleConfig"),
            *(f"{layer}Config" for layer in _LAYERS),
        ],
    ),
    "jaxrnn.data.vocabulary": (
        "Vocabulary",
        ["Vocabulary", "build_vocabulary", "with_separator", "encode", "decode"],
    ),
    "jaxrnn.models.stack": (
        "Stacks of layers",
        ["init", "initial_carry", "apply", "step", "project_table", "count_parameters"],
    ),
    "jaxrnn.training.step": ("One update", ["Update"]),
    "jaxrnn.training.state": ("Training state", ["TrainState", "init_state", "start_state"]),
    "jaxrnn.training.loop": (
        "Training loop and events",
        ["train", "Progress", "Logged", "Evaluated", "Sampled", "Save"],
    ),
    "jaxrnn.workflows.job": ("Messages of a workflow", ["Note"]),
    "jaxrnn.sampling.generation": ("Sampling from ids", ["sample", "Block", "prompt_ids"]),
    "jaxrnn.evaluation.scoring": ("Scores from ids", ["score_stateful", "score_windows"]),
    "jaxrnn.errors": (
        "Exceptions",
        [
            *("JaxrnnError", "ConfigError", "CorpusError", "DownloadError", "VocabularyError"),
            *("CheckpointError", "DamagedError", "LockedError", "SaveError", "InterchangeError", "JoinError"),
            "DivergenceError",
        ],
    ),
}


def write_pages() -> None:
    """Write every generated page, unless it is there already with this content."""
    PAGES.mkdir(exist_ok=True)
    for name, text in (("cli", cli_page()), ("config", config_page()), ("api", api_page())):
        page = PAGES / f"{name}.md"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def cli_page() -> str:
    """The commands and their options, as Typer describes them."""
    command = [sys.executable, "-m", "typer", "jaxrnn_cli.app", "utils", "docs", "--name", "jaxrnn"]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return page.replace("# `jaxrnn`\n", "# Command line\n", 1)


def config_page() -> str:
    """Every key of a config: type and default from the schema, meaning from the comments in configs/custom.toml."""
    meanings = dict(_comments((ROOT / "configs" / "custom.toml").read_text(encoding="utf-8")))
    parts = [
        "# Config keys\n",
        "A config is a TOML file with four sections; a key that is left out has its default. "
        "`--set SECTION.KEY=VALUE` changes one value for one run.\n",
    ]
    for section in dataclasses.fields(Config):
        kind = typing.get_type_hints(Config)[section.name]
        parts.append(f"## `[{section.name}]`\n")
        hints = typing.get_type_hints(kind)
        for key in dataclasses.fields(kind):
            name = f"{section.name}.{key.name}"
            default = "" if section.name == "model" else f"Default: `{_toml(key.default)}`. "
            parts.append(f"### `{name}`\n\n*{_type(hints[key.name])}.* {default}\n\n{meanings[name]}\n")
    return "\n".join(parts)


def _comments(toml: str) -> Iterator[tuple[str, str]]:
    """Each `section.key` with the comment above it."""
    section, comment = "", [""]
    for line in toml.splitlines():
        if line.startswith("["):
            section, comment = line.strip("[]"), []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
        elif key := re.match(r"(\w+) = ", line):
            yield f"{section}.{key[1]}", _as_markdown(comment)
            comment = []
        elif not line:
            comment = []


def _as_markdown(comment: list[str]) -> str:
    """A paragraph, and indented lines, the types of layers, as code."""
    paragraph = " ".join(line for line in comment if line and not line.startswith("  "))
    code = [line for line in comment if line.startswith("  ")]
    return paragraph + ("\n\n```text\n" + "\n".join(code) + "\n```" if code else "")


def _type(hint: Any) -> str:
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if hint in names:
        return names[hint]
    if isinstance(hint, types.UnionType):  # what one text or a list of texts may name
        return "text or a list of texts"
    return "list of layers"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\n") + '"'
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def api_page() -> str:
    """The public names, with their docstrings."""
    parts = [
        "# Python API\n",
        "The names on this page are public: their arguments, results and errors stay within a minor version. "
        "Everything else may change in any release. Shapes: T time, B batch, I input, H hidden, V vocabulary; "
        "layers are time-major, `[time, batch, ...]`, ids are `[batch, time]`. Losses are in nats. A wrong argument "
        "raises `ValueError`; a config, file or run that cannot be used raises a `JaxrnnError`. "
        "The tests run every example.\n",
    ]
    for module, (title, names) in PUBLIC.items():
        parts.append(f"## {title}: `{module}`\n\n```{{eval-rst}}\n.. currentmodule:: {module}\n")
        scope = jaxrnn if module == "jaxrnn" else __import__(module, fromlist=["_"])
        for name in names:
            is_class = isinstance(getattr(scope, name), type)
            parts.append(
                f".. auto{'class' if is_class else 'function'}:: {name}" + "\n   :members:" * is_class + "\n"
            )
        parts.append("```\n")
    return "\n".join(parts)
