"""The public names of `jaxrnn`, and the imports that they do not cause."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxrnn

PUBLIC = [name for names in jaxrnn._PUBLIC.values() for name in names]
SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(jaxrnn.__file__).parent.rglob("*.py")}
MODULES = {
    ".".join(["jaxrnn", *path.relative_to(Path(jaxrnn.__file__).parent).with_suffix("").parts]): source
    for path, source in SOURCES.items()
}


def test_names_at_run_time_match_those_of_type_checkers() -> None:
    tree = ast.parse(Path(jaxrnn.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    seen = {(node.module, alias.name) for node in imported for alias in node.names}
    names = {(f"jaxrnn.{module}", name) for module, names in jaxrnn._PUBLIC.items() for name in names}
    assert seen == names | {("jaxrnn", name) for name in jaxrnn._PACKAGES}
    assert {*PUBLIC, *jaxrnn._PACKAGES} <= set(dir(jaxrnn))
    assert not hasattr(jaxrnn, "lstmm")


@pytest.mark.parametrize("module", ["jaxrnn", "jaxrnn.errors", "jaxrnn.config", "jaxrnn_cli.app"])
def test_an_import_does_not_import_jax(module: str) -> None:
    check = f"import sys, {module}; assert not {{'jax', 'numpy', 'orbax', 'rich'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_every_name_has_a_docstring_and_belongs_to_the_library() -> None:
    for name in PUBLIC:
        public = getattr(jaxrnn, name)
        assert inspect.getdoc(public), name
        assert public.__module__.startswith("jaxrnn."), name


def test_recurrent_layers_take_parameters_carry_and_inputs_in_this_order() -> None:
    cells = ("rnn", "lstm", "mogrifier_lstm", "gru", "slstm", "mlstm", "min_gru", "min_lstm", "rg_lru")
    for layer_name in (*cells, "rnn_block", "causal_conv"):
        layer = getattr(jaxrnn, layer_name)
        names = [
            name
            for name, parameter in inspect.signature(layer).parameters.items()
            if parameter.default is parameter.empty
        ]
        assert names == ["params", "carry", "xs"]


@pytest.mark.parametrize("module", [name for name, source in MODULES.items() if ">>> " in source])
def test_the_examples_show_the_real_output(module: str, request: pytest.FixtureRequest) -> None:
    results = doctest.testmod(
        importlib.import_module(module), extraglobs={"getfixture": request.getfixturevalue}
    )
    assert results.attempted
    assert not results.failed


def imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_library_does_not_import_the_command_line() -> None:
    for path, source in SOURCES.items():
        packages = {name.partition(".")[0] for name in imports(source)}
        assert not packages & {"jaxrnn_cli", "typer", "rich", "argparse"}, path


def test_only_one_file_imports_orbax() -> None:
    known = [
        path.name for path, source in SOURCES.items() if any("orbax" in name for name in imports(source))
    ]
    assert known == ["checkpoint.py"]


def test_the_library_prints_nothing() -> None:
    for path, source in SOURCES.items():
        calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], path
