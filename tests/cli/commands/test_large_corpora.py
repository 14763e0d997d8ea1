"""Corpora streamed from disk, folders and lists in every command."""

import json
import shutil
from pathlib import Path

import pytest

from jaxrnn.data import sources
from jaxrnn.runs.directory import read_config
from tests.cli.conftest import Command

STREAMED = ("--set", "corpus.streamed=always")


@pytest.fixture(autouse=True)
def _tokens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", str(place / "tokens"))


@pytest.fixture
def folder(place: Path) -> Path:
    """The corpus of the other tests, in three files and a hidden one."""
    text = (place / "text.txt").read_text(encoding="utf-8")
    (place / "texts" / "more").mkdir(parents=True)
    for name, part in {"a.txt": text[:900], "b.txt": text[900:2000], "more/c.txt": text[2000:]}.items():
        (place / "texts" / name).write_text(part, encoding="utf-8")
    (place / "texts" / ".notes").write_text("not a text of mine", encoding="utf-8")
    return place / "texts"


def test_a_folder_is_streamed_and_resumed_without_it(jaxrnn: Command, place: Path, folder: Path) -> None:
    pretrain = ("pretrain", "tiny.toml", "--to", "new", "--set", "corpus.text=texts", *STREAMED)
    told = jaxrnn(*pretrain, "--set", "train.eval_tokens=100")
    assert told.code == 0
    assert "texts: 3 files, " in told.err
    assert f"the corpus is streamed from disk, as token ids in {place / 'tokens'}" in told.err
    assert told.err.count("an evaluation reads 100 of the ") == 1
    shutil.rmtree(folder)
    assert jaxrnn(*pretrain, "--resume", "--set", "train.steps=30").code == 0
    assert read_config(place / "checkpoints" / "new").train.steps == 30


def test_a_list_is_recorded_with_all_its_paths(jaxrnn: Command, place: Path, folder: Path) -> None:
    names = 'corpus.text=["texts/b.txt", "texts/more"]'
    done = jaxrnn("pretrain", "tiny.toml", "--to", "./list", "--set", names, "--set", "train.steps=1", "-q")
    assert done.code == 0
    record = json.loads((place / "list" / "run.json").read_text())
    assert record["corpus"] == "texts/b.txt, texts/more"
    assert record["corpus_path"] == [str(folder / "b.txt"), str(folder / "more")]
    assert read_config(place / "list").corpus.text == ("texts/b.txt", "texts/more")
    plan = jaxrnn("pretrain", "tiny.toml", "--to", "./x", "--set", names, "--dry-run", *STREAMED).out
    assert f"texts/b.txt, texts/more ({folder / 'b.txt'}, {folder / 'more'})" in plan
    assert "(one epoch), streamed from disk" in plan
    assert jaxrnn("evaluate", "--from", "./list").code == 0


def test_a_fine_tuned_run_is_named_after_its_corpus_folder(
    jaxrnn: Command, trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--dry-run", "--set", "train.batch_size=4", "--set", "train.seq_len=8")
    for here, name in ((folder, "."), (folder / "more", "..")):
        monkeypatch.chdir(here)
        told = jaxrnn("finetune", "--from", trained, "--corpus", name, *few)
        assert "-texts/ with run.json" in told.out


def test_evaluate_limit_is_applied_and_reported(jaxrnn: Command, trained: Path, place: Path) -> None:
    limited = ("evaluate", "--from", trained, "--protocol", "stateful", "--limit", "30")
    found = jaxrnn(*limited, "--corpus", "text.txt")
    assert "only its validation split is scored" in found.err
    assert "29 characters scored" in found.out
    (place / "other.txt").write_text("ROMEO:\n" * 100)
    assert "29 characters scored" in jaxrnn(*limited, "--corpus", "other.txt").out


def test_inspect_with_a_streamed_corpus(
    jaxrnn: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "RESIDENT_BYTES", 1000)
    for options in ((), ("--file", "text.txt")):
        done = jaxrnn(
            "inspect", "--from", trained, "--length", "40", "--output", "page.html", "--overwrite", *options
        )
        assert done.code == 0, done


def test_an_error_is_one_line(jaxrnn: Command, place: Path) -> None:
    (place / "bad").mkdir()
    (place / "bad/x.txt").write_bytes(b"ab\xff")
    result = jaxrnn("pretrain", "tiny.toml", "--set", "corpus.text=bad", *STREAMED, "--quiet")
    assert "bad/x.txt is not UTF-8: bad byte 0xff at offset 2" in result.error
    assert not (place / "checkpoints").exists()


def test_a_cache_folder_that_can_not_be_written_is_one_line(jaxrnn: Command, place: Path) -> None:
    (place / "tokens").write_text("a file in the way")
    result = jaxrnn("pretrain", "tiny.toml", *STREAMED, "--quiet")
    assert result.code == 1
    assert result.err.startswith("jaxrnn: error: ")
    assert "token ids can't be written" in result.err
    assert "JAXRNN_TOKENS" in result.err
