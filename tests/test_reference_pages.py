"""The generated pages of the documentation have every public name, command and key."""

import inspect
import re
from types import FunctionType

import pytest

import jaxrnn
from docs import reference


def test_every_key_of_a_config_has_its_type_default_and_meaning() -> None:
    page = reference.config_page()
    keys = re.findall(r"^### `(\S+)`\n\n\*(.+)\.\* (.*)\n\n(.+)", page, re.MULTILINE)
    assert len(keys) == page.count("###") > 40
    assert ("train.learning_rate", "number", "Default: `0.01`. ") in [key[:3] for key in keys]
    assert ("sample.prompt", "text", 'Default: `"\\n"`. ') in [key[:3] for key in keys]


def test_every_command_and_every_public_name_has_an_entry() -> None:
    commands = re.findall(r"^## `jaxrnn (\w+)`", reference.cli_page(), re.MULTILINE)
    assert {"pretrain", "finetune", "sample", "evaluate", "gradcheck"} <= set(commands)
    entries = re.findall(r"^\.\. auto\w+:: (\w+)$", reference.api_page(), re.MULTILINE)
    assert {name for names in jaxrnn._PUBLIC.values() for name in names} < set(entries)


def public_functions() -> dict[str, FunctionType]:
    modules = {module: __import__(module, fromlist=["_"]) for module in reference.PUBLIC}
    named = {
        f"{module}.{name}": getattr(modules[module], name)
        for module, (_, names) in reference.PUBLIC.items()
        for name in names
    }
    return {name: found for name, found in named.items() if inspect.isfunction(found)}


@pytest.mark.parametrize("name", public_functions())
def test_every_array_argument_has_a_shape(name: str) -> None:
    function = public_functions()[name]
    described = inspect.getdoc(function) or ""
    arguments = dict(re.findall(r"^    (\w+): (.+(?:\n     .+)*)", described, re.MULTILINE))
    annotations = {argument: str(hint) for argument, hint in inspect.get_annotations(function).items()}
    arrays = [
        each for each in arguments if re.fullmatch(r"[^\[]*\b(Array|ndarray)\b.*", annotations.get(each, ""))
    ]
    # Exceptions: made by another function; shaped as the argument before it; a key.
    elsewhere = {"projected", "val_ids", "key"}
    for each in arrays:
        assert each in elsewhere or re.search(r"\[.*\]|any shape", arguments[each]), each
