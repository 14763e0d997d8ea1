"""docs/api.md is what the docstrings say now; and the changelog and the version speak of the same release."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jaxrnn

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate_api.py, which is no package's."""
    pytest.importorskip("griffe", reason="needs the extra [docs]")
    spec = importlib.util.spec_from_file_location("generate_api", ROOT / "docs" / "generate_api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(generator: ModuleType) -> str:
    written: str = generator.write_page()
    return written


def test_the_page_is_current(page: str) -> None:
    current = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert current == page, "run: python docs/generate_api.py"


def test_one_that_is_not_would_be_noticed(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "PAGE", tmp_path / "api.md")
    monkeypatch.setattr(sys, "argv", ["generate_api.py", "--check"])
    assert generator.main() == 1  # there is none
    (tmp_path / "api.md").write_text("old", encoding="utf-8")
    assert generator.main() == 1
    assert "python docs/generate_api.py" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["generate_api.py"])
    assert generator.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate_api.py", "--check"])
    assert generator.main() == 0


def test_every_public_name_has_a_heading(page: str) -> None:
    headings = set(re.findall(r"^### `(\w+)`$", page, flags=re.MULTILINE))
    assert headings == {name for names in jaxrnn._PUBLIC.values() for name in names}


def test_every_array_that_is_passed_has_a_shape(generator: ModuleType) -> None:
    """Layers, losses and scores: where arguments are documented, an array says what its axes are."""
    import griffe

    package = griffe.load("jaxrnn", search_paths=[str(ROOT)], docstring_parser="google")
    members = [each for module in generator.PUBLIC for each in generator.public_objects(package, module)]
    documented = [
        argument
        for member in members
        if isinstance(member, griffe.Function)
        for section in member.docstring.parsed  # type: ignore[union-attr]
        if section.kind is griffe.DocstringSectionKind.parameters
        for argument in section.value
    ]
    arrays = [each for each in documented if str(each.annotation) in ("Array", "Array | None", "np.ndarray")]
    assert len(arrays) > 10
    elsewhere = {"projected", "val_ids"}  # made by another function; the like of the argument before it
    for each in arrays:
        assert each.name in elsewhere or re.search(r"\[.*\]|any shape", each.description), each.name


def test_what_a_name_returns_stands_in_its_signature(page: str) -> None:
    assert "lstm_carry(params: Params, batch_size: int) -> LSTMCarry" in page
    assert "- `w_x: Array`: `[input, 4 * hidden]`" in page
    assert "    *,\n    mask: Array | None = None,\n" in page
    assert ">>> hs.shape, carry.c.shape\n((5, 2, 4), (2, 4))\n```" in page


def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_newest_version_of_the_changelog_is_this_one() -> None:
    versions = re.findall(r"^## \[(.+?)\]", changelog(), flags=re.MULTILINE)
    assert versions[0] == jaxrnn.__version__
    assert versions == sorted(set(versions), key=lambda v: [*map(int, v.split("."))], reverse=True)


def test_the_changelog_keeps_to_its_form() -> None:
    heads = re.findall(r"^## (.*)$", changelog(), flags=re.MULTILINE)
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)", head) for head in heads)
    kinds = set(re.findall(r"^### (.*)$", changelog(), flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_formats_that_the_changelog_speaks_of_are_those_that_are_written() -> None:
    from jaxrnn.runs.directory import FORMAT_VERSION

    assert f"both are {FORMAT_VERSION}." in changelog()
