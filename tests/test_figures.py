"""The figures in docs/pictures/ match docs/figures.py."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from docs import figures


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    figures.draw(figures.FIGURES, folder)
    return folder


def labels(picture: Path) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", picture.read_text(encoding="utf-8"))


def shapes(picture: Path) -> list[list[float]]:
    """The coordinates of boxes and arrows without text, which differs between versions of matplotlib."""
    paths = re.findall(r'id="patch_\d+">\s*<path d="([^"]+)"', picture.read_text(encoding="utf-8"))
    return [[float(number) for number in re.findall(r"-?\d+\.?\d*", path)] for path in paths]


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_committed_figure_is_up_to_date(name: str, drawn: Path) -> None:
    committed, new = figures.PICTURES / f"{name}.svg", drawn / f"{name}.svg"
    assert labels(committed) == labels(new)
    for there, here in zip(shapes(committed), shapes(new), strict=True):
        np.testing.assert_allclose(there, here, atol=0.01)


def test_drawing_a_figure_is_deterministic(drawn: Path, tmp_path: Path) -> None:
    figures.draw({"gru": figures.gru}, tmp_path)
    assert (tmp_path / "gru.svg").read_bytes() == (drawn / "gru.svg").read_bytes()


def test_every_figure_is_used() -> None:
    pages = [*figures.PICTURES.parent.glob("*.md"), figures.PICTURES.parents[1] / "README.md"]
    shown = {
        name for page in pages for name in re.findall(r"pictures/([\w.]+)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in figures.PICTURES.iterdir()} == shown
