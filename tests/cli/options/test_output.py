"""Output files: never one of the inputs, and an existing file only with `--overwrite`."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.interchange.test_original import SMALL, dump

pytestmark = pytest.mark.usefixtures("place")

COMMANDS = {
    "evaluate": ("evaluate", "--from", "tiny", "--corpus", "given.txt", "--per-character"),
    "export": ("export", "--from", "tiny", "--format", "stablehlo", "--output"),
    "inspect": ("inspect", "--from", "tiny", "--file", "given.txt", "--output"),
    "plot": ("plot", "tiny", "--output"),
}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=COMMANDS)
def write(request: pytest.FixtureRequest, jaxrnn: Command, place: Path, trained: Path) -> Callable:
    """Each command that writes a file, as a function of that file, for a run with its own corpus."""
    if request.param == "plot":
        pytest.importorskip("matplotlib")
    shutil.copy(place / "text.txt", place / "given.txt")
    run = place / "checkpoints/tiny"
    shutil.copytree(trained, run)
    record = run / "run.json"
    record.write_text(
        record.read_text().replace(str(trained.parent.parent / "text.txt"), str(place / "text.txt"))
    )
    return lambda output, *more: jaxrnn(*COMMANDS[request.param], output, *more)


def test_an_existing_file_is_replaced_only_with_overwrite(write: Callable, place: Path) -> None:
    (place / "out.svg").write_text("mine")
    before = contents(place)
    assert "out.svg: already exists; --overwrite replaces it" in write("out.svg").error
    assert contents(place) == before
    assert write("out.svg", "--overwrite").code == 0
    assert (place / "out.svg").read_bytes()[:4] != b"mine"
    assert [path.name for path in place.glob(".*")] == []


def test_an_input_is_never_replaced(write: Callable, place: Path) -> None:
    run = place / "checkpoints/tiny"
    os.link(place / "text.txt", place / "hard.svg")
    (place / "soft.svg").symlink_to(run / "metrics.csv")
    (run / "steps/20/more.svg").write_text("")
    before = contents(place)
    for output in ("hard.svg", "soft.svg", "checkpoints/tiny/steps/20/more.svg", run / "steps/new.svg"):
        assert "would change an input" in write(output, "--overwrite").error
    assert contents(place) == before
    assert write(run / "new.svg").code == 0  # next to an input is allowed


def test_the_file_of_an_option_is_an_input(jaxrnn: Command, trained: Path, place: Path) -> None:
    shutil.copy(place / "text.txt", place / "given.txt")
    before = contents(place)
    for name in ("evaluate", "inspect"):
        command = [str(trained) if word == "tiny" else word for word in COMMANDS[name]]
        assert "would change an input" in jaxrnn(*command, "given.txt", "--overwrite").error
    assert contents(place) == before


def test_the_second_file_of_an_export_is_checked_too(jaxrnn: Command, trained: Path, place: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")
    shutil.copytree(trained, place / "checkpoints/tiny")
    before = contents(place / "checkpoints")
    for name in ("run", "vocabulary"):  # run.json and vocabulary.json are files of the run
        command = ("export", "--from", "tiny", "--format", "safetensors", "--overwrite")
        error = jaxrnn(*command, "--output", f"checkpoints/tiny/{name}.safetensors").error
        assert f"{name}.json: would change an input" in error
    assert contents(place / "checkpoints") == before


def test_a_device_is_written_and_not_replaced(jaxrnn: Command, trained: Path) -> None:
    assert jaxrnn("evaluate", "--from", trained, "--per-character", "/dev/null").code == 0
    assert jaxrnn("inspect", "--from", trained, "--output", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def test_a_new_run_does_not_replace_the_run_that_contains_its_input(
    jaxrnn: Command, place: Path, trained: Path
) -> None:
    run = place / "checkpoints/tiny"
    shutil.copytree(trained, run)
    shutil.copy(place / "text.txt", run / "text.txt")
    (run / "old.json").write_bytes(dump(SMALL))
    (place / "link.txt").symlink_to(run / "text.txt")
    before = contents(place)
    pretrain = ("pretrain", "tiny.toml", "--overwrite", "--set")
    for command in (
        (*pretrain, "corpus.text=checkpoints/tiny/text.txt"),
        (*pretrain, "corpus.text=link.txt"),
        (*pretrain, 'corpus.text=["text.txt", "checkpoints/tiny"]'),
        ("finetune", "--from", trained, "--corpus", run / "text.txt", "--to", "tiny", "--overwrite"),
        ("import", run / "old.json", "--to", "tiny", "--overwrite"),
    ):
        assert "checkpoints/tiny: contains an input" in jaxrnn(*command).error
    assert contents(place) == before
