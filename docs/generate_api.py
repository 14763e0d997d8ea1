"""Writes docs/api.md: every public name, what it takes and returns, and its examples, from the docstrings.

    python docs/generate_api.py             writes the page
    python docs/generate_api.py --check     exit code 1 where the page is not what the docstrings say now

`PUBLIC` below is the promise itself: what is not in it may change in any release. Sources are read and docstrings taken
apart by Griffe (`pip install -e '.[docs]'`); nothing is imported.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"

# Modules, what each is for, and its public names; None stands for all that the module exports or defines.
PUBLIC: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "jaxrnn": ("training and using models; the layers and the loss", None),
    "jaxrnn.config": (
        "what a run is made of",
        (
            *(
                "load_config",
                "find_config",
                "parse_config",
                "dump_config",
                "Config",
                "CorpusConfig",
                "ModelConfig",
            ),
            *("TrainConfig", "SampleConfig", "LogConfig", "EmbeddingConfig", "DenseConfig", "DropoutConfig"),
            *("RNNConfig", "LSTMConfig", "MogrifierLSTMConfig", "GRUConfig", "RNNBlockConfig"),
        ),
    ),
    "jaxrnn.data.vocabulary": (
        "tokens and ids",
        ("Vocabulary", "build_vocabulary", "with_separator", "encode", "decode"),
    ),
    "jaxrnn.models.stack": (
        "a stack of layers",
        ("init", "initial_carry", "apply", "step", "project_table", "count_parameters"),
    ),
    "jaxrnn.training.step": ("one update", ("Update",)),
    "jaxrnn.training.state": ("the state of a training run", ("TrainState", "init_state", "start_state")),
    "jaxrnn.training.loop": (
        "the loop and its events",
        ("train", "Progress", "Evaluated", "Sampled", "Save"),
    ),
    "jaxrnn.workflows.job": ("messages of a workflow", ("Note",)),
    "jaxrnn.sampling.generation": ("generation from ids", ("sample", "Block", "prompt_ids")),
    "jaxrnn.evaluation.scoring": ("scores from ids", ("score_stateful", "score_windows")),
    "jaxrnn.errors": (
        "the exceptions",
        (
            *(
                "JaxrnnError",
                "ConfigError",
                "CorpusError",
                "DownloadError",
                "VocabularyError",
                "CheckpointError",
            ),
            *("DamagedError", "LockedError", "SaveError", "InterchangeError", "JoinError", "DivergenceError"),
        ),
    ),
}

HEAD = """\
# The public API

<!-- Written by docs/generate_api.py from the docstrings. Change those, then run it. -->

What is on this page is public: its names, arguments, meanings and errors stay within a minor version, as
[CHANGELOG.md](../CHANGELOG.md) says. So do the [command line](../README.md), the keys of a
[config](../configs/custom.toml) and the files of a run directory. Everything else in `jaxrnn` is there to be read, and
may change in any release. Every example is run by the tests.

Shapes are written in words or letters: T time, B batch, I input, H hidden, V vocabulary. Layers are time-major, `[time,
batch, ...]`; ids of characters are `[batch, time]`. Losses are in nats. `Array` is `jax.Array`, `Key` a key from
`jax.random.key`; `Params` and `Carry` are nests of NamedTuples of arrays. What is wrong with an argument is a
`ValueError`, with something that was read a `JaxrnnError`; either is a single line that says what to do.
"""


def public_objects(package: griffe.Module, module: str) -> list[griffe.Object]:
    """The public objects of a module, in the order of `PUBLIC` or else of the source."""
    found = package if module == package.path else package[module.removeprefix(f"{package.path}.")]
    _, names = PUBLIC[module]
    if names is None:
        names = tuple(
            name for name, member in found.members.items() if not name.startswith("_") and _is_public(member)
        )
    objects = [found[name] for name in names]
    return [each.final_target if each.is_alias else each for each in objects]


def _is_public(member: griffe.Object | griffe.Alias) -> bool:
    """Whether a member of a module is one of ours: an exported name, a class or a function."""
    if isinstance(member, griffe.Alias):
        return member.target_path.startswith("jaxrnn.") and member.target_path.count(".") > 2
    return member.is_class or member.is_function


def write_page() -> str:
    """The whole page, as it is to be."""
    package = griffe.load("jaxrnn", search_paths=[str(ROOT)], docstring_parser="google")
    assert isinstance(package, griffe.Module)
    objects = {module: public_objects(package, module) for module in PUBLIC}
    parts = [HEAD, "| module | what it has |\n|---|---|\n" + "\n".join(map(_row, objects, objects.values()))]
    for module, members in objects.items():
        parts.append(f"\n## {module}\n")
        if module != "jaxrnn":
            parts.append(f"Import as `from {module} import ...`: {PUBLIC[module][0]}.\n")
        parts.extend(part for member in members for part in _describe(module, member))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _title(module: str, name: str) -> str:
    """`lstm`, `training.train`: how the page speaks of a name, so that no two are alike."""
    return ".".join([*module.split(".")[1:], name])


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower())


def _row(module: str, objects: list[griffe.Object]) -> str:
    links = (f"[`{each.name}`](#{_anchor(_title(module, each.name))})" for each in objects)
    return f"| [`{module}`](#{_anchor(module)}): {PUBLIC[module][0]} | {', '.join(links)} |"


def _describe(module: str, member: griffe.Object) -> Iterator[str]:
    source = Path(str(member.filepath)).relative_to(ROOT)
    yield f"### `{_title(module, member.name)}`\n"
    if isinstance(member, griffe.Function):
        yield f"```python\n{signature(member)}\n```\n"
    yield from _docstring(member)
    if isinstance(member, griffe.Class):
        yield from _fields(member)
    yield f"Source: [{source}](../{source})\n"


def signature(function: griffe.Function) -> str:
    """`name(a: A, *, b: B = 1) -> C`, a line for each parameter where one line would be long."""
    parameters: list[str] = []
    for parameter in function.parameters:
        if (
            parameter.kind is griffe.ParameterKind.keyword_only
            and "*" not in parameters
            and not any(each.startswith("*") for each in parameters)
        ):
            parameters.append("*")
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {parameter.default}" if parameter.default is not None else ""
        parameters.append(f"{parameter.name}{annotation}{default}")
    end = f") -> {function.returns}" if function.returns is not None else ")"
    line = f"{function.name}({', '.join(parameters)}{end}"
    if len(line) <= 100:
        return line
    return f"{function.name}(\n" + "".join(f"    {each},\n" for each in parameters) + end


def _docstring(member: griffe.Object) -> Iterator[str]:
    assert member.docstring is not None, f"{member.path} has no docstring"
    for section in member.docstring.parsed:
        kind = section.kind.value
        if kind == "text":
            yield _text(section.value)
        elif kind in ("parameters", "attributes"):
            title = "Arguments" if kind == "parameters" else "Fields"
            yield f"{title}:\n\n" + _items((f"`{each.name}`", each.description) for each in section.value)
        elif kind in ("returns", "yields"):
            yield f"{kind.capitalize()}: {_inline(' '.join(each.description for each in section.value))}\n"
        elif kind == "raises":
            raised = ((f"`{each.annotation}`", each.description) for each in section.value)
            yield "Raises:\n\n" + _items(raised)
        elif kind == "admonition" and section.value.kind == "example":
            yield f"```pycon\n{section.value.contents}\n```\n"
        else:
            raise ValueError(f"{member.path}: a docstring section {kind} that this page does not know")


def _text(text: str) -> str:
    """Paragraphs; a paragraph that is indented, an equation say, as code."""
    blocks = re.split(r"\n\n(?=\S)", text)
    shown = []
    for block in blocks:
        head, *code = re.split(r"\n\n?(?=    )", block, maxsplit=1)
        if head.startswith(">>> "):
            shown.append(f"```pycon\n{head}\n```")
        else:
            shown.append(head)
        shown.extend(f"```text\n{each}\n```" for each in code)
    return "\n\n".join(shown) + "\n"


def _inline(text: str) -> str:
    return " ".join(text.split())


def _items(items: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {_inline(description)}" for name, description in items) + "\n"


def _fields(record: griffe.Class) -> Iterator[str]:
    """The fields of a record, with the comments that stand beside them; and its properties and methods."""
    attributes = [
        each
        for each in record.members.values()
        if isinstance(each, griffe.Attribute)
        and each.annotation is not None
        and "ClassVar" not in str(each.annotation)
        and "property" not in each.labels
    ]
    if record.path.startswith("jaxrnn.config.") and attributes:
        yield f"Fields, the keys in TOML: {', '.join(f'`{each.name}`' for each in attributes)}.\n"
    elif attributes:
        yield "Fields:\n\n" + "\n".join(map(_field, attributes)) + "\n"
    for each in record.members.values():
        is_property = isinstance(each, griffe.Attribute) and "property" in each.labels
        if not each.name.startswith("_") and (is_property or isinstance(each, griffe.Function)):
            assert each.docstring is not None, f"{each.path} has no docstring"
            called = each.name if is_property else signature(each)  # type: ignore[arg-type]
            yield f"`.{called}`: {_inline(each.docstring.value)}\n"


def _field(attribute: griffe.Attribute) -> str:
    comments = (re.search(r"#\s*(.*)$", line) for line in attribute.lines)
    comment = " ".join(found[1] for found in comments if found)
    shown = re.sub(r"(?<!`)\[[^\]]*\]", lambda shape: f"`{shape[0]}`", comment)
    return f"- `{attribute.name}: {attribute.annotation}`" + (f": {shown}" if shown else "")


def main() -> int:
    """Writes the page, or with `--check` says whether it is current."""
    page = write_page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/api.md is not what the docstrings say; run: python docs/generate_api.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
