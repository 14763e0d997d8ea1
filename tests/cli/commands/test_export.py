"""`jaxrnn export` and `jaxrnn import`: round trip and errors."""

import json
import shutil
from pathlib import Path

import pytest

from jaxrnn.data.vocabulary import byte_vocabulary
from jaxrnn_cli.commands import export as export_command
from tests.cli.conftest import Command, look_at
from tests.interchange.stacks import STACKS, drawn
from tests.interchange.test_original import SMALL, dump

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The safetensors file of the trained run."""
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")
    from jaxrnn.interchange.safetensors_file import write_safetensors
    from jaxrnn.runs.loading import load

    return write_safetensors(load(trained), tmp_path_factory.mktemp("exported") / "model.safetensors")[0]


@pytest.fixture
def model(exported: Path, place: Path) -> Path:
    return Path(shutil.copy(exported, place / "model.safetensors"))


def test_the_formats_are_those_of_the_library() -> None:
    from jaxrnn.interchange import FORMATS

    assert tuple(FORMATS) == export_command.FORMATS


def test_an_exported_and_imported_run_samples_the_same_text(
    jaxrnn: Command, trained: Path, exported: Path, place: Path
) -> None:
    code, out, err = jaxrnn("export", "--from", trained, "--format", "safetensors")
    assert (code, out) == (0, "")
    assert err.startswith("jaxrnn: wrote tiny.safetensors (3.96 kB), tiny.json (")
    assert (place / "tiny.safetensors").stat().st_size == exported.stat().st_size
    code, out, err = jaxrnn("import", "tiny.safetensors")
    assert (code, out) == (0, "")
    assert err == (
        "jaxrnn: checkpoints/tiny: embedding, rnn, dense; 731 parameters, 35 characters; sample from it with: "
        "jaxrnn sample --from checkpoints/tiny\n"
    )
    sampled = [
        jaxrnn("sample", "--from", run, "--rng-seed", "1", "--length", "30").out for run in (trained, "tiny")
    ]
    assert sampled[0] == sampled[1]
    assert len(sampled[0]) == 32  # with a newline before and after


def test_an_imported_run_works_except_for_commands_that_need_its_corpus(
    jaxrnn: Command, model: Path, place: Path
) -> None:
    assert jaxrnn("import", model, "--to", "back").code == 0
    text = (place / "text.txt").read_text()[:200]
    (place / "short.txt").write_text(text)
    assert "whole: 199 characters scored" in jaxrnn("evaluate", "--from", "back", "--corpus", "short.txt").out
    assert jaxrnn("inspect", "--from", "back", "--text", "what is", "--output", "page.html").code == 0
    resume = ("pretrain", "checkpoints/back/config.toml", "--to", "back", "--resume")
    for args, advice in {
        ("evaluate", "--from", "back"): "give one with --corpus TEXT",
        ("inspect", "--from", "back"): "or give a text with --text, --file or --sample",
        (
            "evaluate",
            *["--from", "back", "--corpus", "short.txt", "--protocol", "dynamic"],
        ): "dynamic evaluation ch",
        resume: "to train it further: jaxrnn finetune --from checkpoints/back --corpus TEXT",
    }.items():
        wanted = f"checkpoints/back: was imported, and has no corpus of its own; {advice}"
        assert wanted in jaxrnn(*args).error
    anew = jaxrnn("pretrain", "checkpoints/back/config.toml", "--to", "new").error
    assert "there is no file (none: imported from model.safetensors)" in anew


def test_an_imported_run_can_be_fine_tuned(jaxrnn: Command, model: Path, place: Path) -> None:
    assert jaxrnn("import", model, "--to", "back").code == 0
    quick = [f"--set=train.{option}" for option in ("steps=2", "batch_size=4", "seq_len=8", "sample_every=0")]
    code, _, err = jaxrnn("finetune", "--from", "back", "--corpus", "text.txt", "--to", "more", *quick)
    assert code == 0, err
    record = json.loads((place / "checkpoints/more/run.json").read_text())
    assert record["history"][0]["corpus"] == "(none: imported from model.safetensors)"
    assert record["imported_from"] == ""


def test_a_byte_model_is_imported_as_one(jaxrnn: Command, place: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")
    from jaxrnn.interchange.safetensors_file import write_safetensors

    write_safetensors(drawn(STACKS["gru"], vocabulary=byte_vocabulary()), place / "bytes.safetensors")
    code, _, err = jaxrnn("import", "bytes.safetensors")
    assert (code, ", 256 bytes; sample" in err) == (0, True), err


def test_a_file_of_the_original_project_becomes_a_run(jaxrnn: Command, place: Path) -> None:
    (place / "old.json").write_bytes(dump(SMALL))
    assert jaxrnn("import", "old.json").code == 0
    code, out, err = jaxrnn("sample", "--from", "old", "--length", "5", "--rng-seed", "1")
    assert (code, len(out)) == (0, 7), err
    assert jaxrnn("import", "old.json", "--overwrite").code == 0


def test_file_names_with_special_characters(jaxrnn: Command, model: Path, place: Path) -> None:
    for name in ('a "b" \n\u00e9\\', "\udcff\udcfe"):
        model.rename(odd := place / f"{name}.safetensors")
        code, _, err = jaxrnn("import", odd, "--to", "odd", "--overwrite")
        assert (code, len(err.splitlines())) == (0, 1), err
        assert jaxrnn("sample", "--from", "odd", "--length", "1").code == 0
        model = odd


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("export", "--format", "safetensor"), "did you mean safetensors"),
        (("export", "--format", "safetensors", "--output", "."), "is a directory"),
        (("export", "--format", "safetensors", "--output", "text.txt"), "text.txt: already exists; --over"),
        (("import", "."), ".: a directory; give a safetensors file"),
        (("import", "text.txt"), "neither a safetensors file nor JSON"),
        (("import", "text.txt", "--format", "original"), "not JSON"),
        (("import", "text.txt", "--format", "origin"), "did you mean original"),
        (("import", "text.txt", "--to", ""), "name a run directory"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(
    jaxrnn: Command, trained: Path, place: Path, args: tuple[str, ...], why: str
) -> None:
    before = look_at(place)
    found = jaxrnn(*args, *(("--from", trained) if args[0] == "export" else ())).error
    assert why in found
    assert look_at(place) == before


def test_an_existing_run_is_replaced_only_with_overwrite(jaxrnn: Command, model: Path, place: Path) -> None:
    assert jaxrnn("import", model).code == 0
    before = look_at(place / "checkpoints")
    error = jaxrnn("import", model).error
    assert error.endswith("a run exists here; --overwrite replaces it, --to RUN writes elsewhere")
    assert look_at(place / "checkpoints") == before
