"""Texts that stay on the disk: folders and lists, trained on, gone on with, fine-tuned on, scored and looked into."""

import json
import shutil
from pathlib import Path

import pytest

from jaxrnn.data import sources
from jaxrnn.runs.directory import read_config
from jaxrnn.workflows import evaluation
from tests.cli.conftest import Command

STREAMED = ("--set", "corpus.streamed=always")


@pytest.fixture(autouse=True)
def _tokens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", str(place / "tokens"))


@pytest.fixture
def folder(place: Path) -> Path:
    """The text of the other tests, in three files and a hidden one."""
    text = (place / "text.txt").read_text(encoding="utf-8")
    (place / "texts" / "more").mkdir(parents=True)
    for name, part in {"a.txt": text[:900], "b.txt": text[900:2000], "more/c.txt": text[2000:]}.items():
        (place / "texts" / name).write_text(part, encoding="utf-8")
    (place / "texts" / ".notes").write_text("not a text of mine", encoding="utf-8")
    return place / "texts"


def test_a_folder_streamed_is_the_text_in_memory(
    jaxrnn: Command, trained: Path, place: Path, folder: Path
) -> None:
    told = jaxrnn("pretrain", "tiny.toml", "--to", "new", "--set", "corpus.text=texts", *STREAMED)
    assert told.code == 0
    assert "texts: 3 files, " in told.err
    assert f"the corpus is streamed from disk, as token ids in {place / 'tokens'}" in told.err
    new = place / "checkpoints" / "new"
    record, before = (json.loads((run / "run.json").read_text()) for run in (new, trained))
    assert record["corpus_sha256"] == before["corpus_sha256"]
    # From streamed to not, though the folder is not what it was named; and back, though there is no text at all.
    shutil.rmtree(folder)
    longer = ("--resume", "--set", "train.steps=30", "--quiet")
    never = ("--set", "corpus.streamed=never")
    assert jaxrnn("pretrain", "tiny.toml", "--to", "new", *longer, *never).code == 0
    (place / "text.txt").unlink()
    assert (
        jaxrnn("pretrain", "tiny.toml", "--to", "new", "--resume", "--set", "train.steps=40", *STREAMED).code
        == 0
    )
    assert read_config(new).train.steps == 40


def test_a_list_is_remembered_with_all_its_places(jaxrnn: Command, place: Path, folder: Path) -> None:
    names = 'corpus.text=["texts/b.txt", "texts/more"]'
    done = jaxrnn("pretrain", "tiny.toml", "--to", "./list", "--set", names, "--set", "train.steps=1", "-q")
    assert done.code == 0
    record = json.loads((place / "list" / "run.json").read_text())
    assert record["corpus"] == "texts/b.txt, texts/more"
    assert record["corpus_path"] == [str(folder / "b.txt"), str(folder / "more")]
    assert read_config(place / "list").corpus.text == ("texts/b.txt", "texts/more")
    resumed = jaxrnn(
        "pretrain", "tiny.toml", "--to", "./list", "--set", names, "--set", "train.steps=2", "--resume"
    )
    assert resumed.code == 0
    plan = jaxrnn("pretrain", "tiny.toml", "--to", "./x", "--set", names, "--dry-run", *STREAMED).out
    assert f"texts/b.txt, texts/more ({folder / 'b.txt'}, {folder / 'more'})" in plan
    assert "which is one epoch, streamed from disk" in plan
    assert jaxrnn("evaluate", "--from", "./list").code == 0


def test_what_an_evaluation_leaves_out_is_said_once(jaxrnn: Command) -> None:
    few = ("--set", "train.eval_tokens=100")
    told = jaxrnn("pretrain", "tiny.toml", "--to", "./few", *few, *STREAMED)
    (line,) = (line for line in told.err.splitlines() if "train.eval_tokens" in line)
    assert "an evaluation reads 100 of the " in line


def test_a_fine_tuning_is_named_after_the_folder_that_it_reads(
    jaxrnn: Command, trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--dry-run", "--set", "train.batch_size=4", "--set", "train.seq_len=8")
    for here, name in ((folder, "."), (folder / "more", "..")):
        monkeypatch.chdir(here)
        told = jaxrnn("finetune", "--from", trained, "--corpus", name, *few)
        assert "-texts/ with run.json" in told.out


def test_of_a_large_text_parts_are_scored_and_that_is_said(
    jaxrnn: Command, trained: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "RESIDENT_BYTES", 1000)  # so that the small text is a large one
    monkeypatch.setattr(evaluation, "MOST", 100)
    part = jaxrnn("evaluate", "--from", trained)
    assert "held out, the first 100 are scored; --limit N scores more" in part.err
    assert "99 characters scored" in part.out
    (place / "other.txt").write_text((place / "text.txt").read_text() * 2)
    other = jaxrnn("evaluate", "--from", trained, "--corpus", "other.txt", "--limit", "50")
    assert "other.txt is large: its first 50 characters are scored" in other.err
    assert "49 characters scored" in other.out


def test_a_limit_holds_for_small_texts_too(jaxrnn: Command, trained: Path, place: Path) -> None:
    assert "29 characters scored" in jaxrnn("evaluate", "--from", trained, "--limit", "30").out
    found = jaxrnn("evaluate", "--from", trained, "--corpus", "text.txt", "--limit", "30")
    assert "29 characters scored" in found.out
    (place / "other.txt").write_text("ROMEO:\n" * 100)
    other = jaxrnn("evaluate", "--from", trained, "--corpus", "other.txt", "--limit", "30")
    assert "29 characters scored" in other.out


def test_inspect_looks_into_a_text_on_the_disk(
    jaxrnn: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "RESIDENT_BYTES", 1000)
    for options in ((), ("--file", "text.txt")):
        done = jaxrnn("inspect", "--from", trained, "--length", "40", "--output", "page.html", *options)
        assert done.code == 0, done


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("corpus.text=empty", "empty is a folder without files"),
        ('corpus.text=["text.txt", "gone.txt"]', "there is no file gone.txt"),
        ("corpus.text=bad", "bad/x.txt is not UTF-8: bad byte 0xff at offset 2"),
        ("corpus.text=short", "short/x.txt has only 1 character"),
    ],
)
def test_mistakes_are_one_line(jaxrnn: Command, place: Path, override: str, words: str) -> None:
    for name, data in {"bad/x.txt": b"ab\xff", "short/x.txt": b"a"}.items():
        (place / name).parent.mkdir()
        (place / name).write_bytes(data)
    (place / "empty").mkdir()
    result = jaxrnn("pretrain", "tiny.toml", "--set", override, *STREAMED, "--quiet")
    assert words in result.error
    assert not (place / "checkpoints").exists()


def test_a_place_that_cannot_be_written_is_one_line_of_another_kind(jaxrnn: Command, place: Path) -> None:
    (place / "tokens").write_text("a file in the way")
    result = jaxrnn("pretrain", "tiny.toml", *STREAMED, "--quiet")
    assert result.code == 1
    assert result.err.startswith("jaxrnn: error: ")
    assert "token ids can't be written" in result.err
    assert "JAXRNN_TOKENS" in result.err
