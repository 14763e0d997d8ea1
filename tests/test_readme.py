"""The README's commands parse, its programs run, its links have targets; CONTRIBUTING.md has the real layout."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jaxrnn_cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def jaxrnn_commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [shlex.split(part, comments=True)[1:] for part in parts if part.startswith("jaxrnn ")]


def test_the_readme_has_the_two_commands() -> None:
    assert "pip install -e . && jaxrnn pretrain configs/shakespeare.toml\n" in README
    assert "pip install -e '.[test]' && pytest\n" in README


@pytest.mark.parametrize("args", jaxrnn_commands(), ids=" ".join)
def test_every_command_is_accepted_by_the_command_line(args: list[str]) -> None:
    if args == ["--help"]:
        return  # exits, tested with the command line
    app.command.commands[args[0]].make_context(args[0], args[1:])


def test_an_invalid_command_is_detected() -> None:
    with pytest.raises(Exception, match="No such option"):
        app.command.commands["sample"].make_context("sample", ["--sed", "ROMEO:"])


def test_the_programs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.txt").write_text("ROMEO: to be or not to be\n" * 100, encoding="utf-8")
    notebook, layers = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(notebook.replace('"train.steps": 400', '"train.steps": 4'), "README.md", "exec"), names)
    assert names["forget_gates"].shape == (200, 192)
    exec(compile(layers, "README.md", "exec"), names)
    assert "gradients" in names


def test_every_link_points_at_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_layout_lists_the_existing_packages() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (layout,) = re.findall(r"^```text\n(jaxrnn/ .*?)^```", contributing, flags=re.DOTALL | re.MULTILINE)
    names = re.findall(r"^(  )?(\S+)", layout, flags=re.MULTILINE)
    missing = [name for indent, name in names if not (ROOT / ("jaxrnn" if indent else "") / name).exists()]
    assert missing == []
    packages = {f"{path.parent.name}/" for path in (ROOT / "jaxrnn").glob("*/__init__.py")}
    assert packages <= {name for indent, name in names if indent}
