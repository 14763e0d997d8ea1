"""The packages of jaxrnn import only lower packages, and no private names of other packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxrnn

ROOT = Path(jaxrnn.__file__).parent
# Lowest first: a package imports only itself and earlier ones.
ORDER = (
    ("errors",),
    ("disk", "types"),
    ("config",),
    ("layers", "loggers"),
    ("reference",),
    ("parallel",),
    ("data",),
    ("models",),
    ("gradcheck",),
    ("evaluation", "sampling"),
    ("training",),
    ("runs",),
    ("inspection", "interchange"),
    ("play",),
    ("workflows",),
)
HEIGHT = {name: height for height, names in enumerate(ORDER) for name in names}
SOURCES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
MODULES = [path for path in SOURCES if path != Path("__init__.py")]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """All imports of jaxrnn in a module, as (package, name)."""
    for node in ast.walk(ast.parse(SOURCES[path])):
        if isinstance(node, ast.ImportFrom) and node.module == "jaxrnn":
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxrnn."):
            package, _, module = (node.module or "").removeprefix("jaxrnn.").partition(".")
            for alias in node.names:
                yield package, f"{module}.{alias.name}" if module else alias.name


def test_every_package_is_listed_with_its_purpose() -> None:
    found = {path.parts[0].removesuffix(".py") for path in MODULES}
    assert found == set(HEIGHT)
    assert len([path for path in SOURCES if len(path.parts) == 1]) <= 4
    for name in found:
        if (ROOT / name).is_dir():
            assert ast.get_docstring(ast.parse(SOURCES[Path(name, "__init__.py")])), name


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_imports_a_higher_package(path: Path) -> None:
    package = path.parts[0].removesuffix(".py")
    for other, name in imports(path):
        assert other == package or HEIGHT[other] < HEIGHT[package], f"{path} imports {other}.{name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_private_name_of_another_package_is_used(path: Path) -> None:
    for other, name in imports(path):
        is_private = any(part.startswith("_") for part in name.split("."))
        assert other == path.parts[0] or not is_private, f"{path} imports {other}.{name}"
