"""Corpora in memory and streamed from disk give bitwise identical runs and equal scores, and resume each other."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxrnn.config import Config, dump_config
from jaxrnn.data import sources
from jaxrnn.errors import CorpusError, JaxrnnError
from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.directory import read_record
from jaxrnn.workflows import EvaluationOptions, Note, evaluate_run, finetune, pretrain, validation_text
from jaxrnn.workflows import evaluation as module

STREAMED = {"corpus.streamed": "always"}
OTHER = "to bee or nòt — to zebra " * 60


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config, text: str) -> Path:
    """A working directory with two corpora and a config; the corpora are too new for cached hashes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXRNN_TOKENS", str(tmp_path / "tokens"))
    for name, content in {"text.txt": text, "other.txt": OTHER, "tiny.toml": dump_config(config)}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        os.utime(tmp_path / name, (0, 0))
    return tmp_path


def train(to: str, **overrides: object) -> Path:
    pretrain("tiny.toml", {"corpus.text": "text.txt", **overrides}, to=f"./{to}")
    return Path(to)


def bits(run: Path) -> tuple[dict[str, bytes], list[str]]:
    """The arrays of the last checkpoint, and the metrics without times."""
    leaves = {name: leaf.tobytes() for name, leaf in load_leaves(run, "last").items()}
    head, *rows = (line.split(",") for line in (run / "metrics.csv").read_text().splitlines())
    kept = [i for i, name in enumerate(head) if name not in ("seconds", "tokens_per_second")]
    return leaves, [",".join(row[i] for i in kept) for row in rows]


def scored(
    run: Path, *protocols: str, corpus: str | None = None, **options: Any
) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []

    def on_event(note: Note) -> None:
        notes.append(note.message)

    asked = EvaluationOptions(
        protocols=protocols,
        corpus=corpus,
        window=16,
        segment=20,
        rates=None,
        memorization=False,
        length=50,
        rng_seed=0,
    )
    record = evaluate_run(run, asked._replace(on_event=on_event, **options)).record
    return {key: value for key, value in record.items() if key != "run"}, notes


@pytest.mark.usefixtures("place")
def test_runs_fine_tuned_runs_and_scores_are_bitwise_identical() -> None:
    documents = {"corpus.separator": " "}
    runs = [train("a", **documents), train("b", **documents, **STREAMED)]
    assert bits(runs[0]) == bits(runs[1])
    assert read_record(runs[0]).corpus_sha256 == read_record(runs[1]).corpus_sha256
    assert scored(runs[0], "stateful", "windows") == scored(runs[1], "stateful", "windows")
    assert validation_text(runs[0], 10**6) == validation_text(runs[1], 10**6)
    tuned = [Path(f"tuned-{run}") for run in runs]
    few = {"train.steps": 4, "train.eval_every": 2}
    for run, to, streamed in zip(runs, tuned, ("never", "always"), strict=True):
        values = {**few, "corpus.streamed": streamed}
        finetune(f"./{run}", "other.txt", values, to=f"./{to}", on_unknown="drop")
    assert bits(tuned[0]) == bits(tuned[1])
    found, expected = (scored(run, "stateful", "dynamic") for run in tuned)
    assert found == expected
    assert found[0]["text"]["unseen_tokens"] > 0
    resumed = {**few, **STREAMED, "train.steps": 5}
    longer = finetune(
        f"./{runs[1]}", "other.txt", resumed, to=f"./{tuned[1]}", on_unknown="drop", resume=True
    )
    assert longer.step == 5


@pytest.mark.usefixtures("place")
def test_a_run_resumes_streamed_or_not_from_a_moved_corpus(text: str) -> None:
    constant = {"train.schedule": "constant"}  # learning rates that do not depend on the number of steps
    expected = bits(train("whole", **constant, **{"train.steps": 16}))
    run = train("run", **constant, **{"train.steps": 4})

    def resume(steps: int, **streamed: str) -> None:
        values = {"corpus.text": "text.txt", "train.steps": steps, **constant, **streamed}
        pretrain("tiny.toml", values, to=f"./{run}", resume=True)

    resume(8, **STREAMED)
    Path("text.txt").unlink()
    resume(12)  # its token ids are sufficient
    shutil.rmtree("tokens")
    with pytest.raises(CorpusError, match=r"there is no file .*text\.txt"):
        resume(16)
    Path("data").mkdir()
    Path("data/moved.txt").write_text(text)
    resume(16)
    assert bits(run) == expected


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("streamed", ["never", "always"])
def test_a_corpus_folder_that_contains_its_run_is_resumed_evaluated_and_inspected(
    streamed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", "tokens")
    values = {"corpus.text": ".", "corpus.streamed": streamed, "train.schedule": "constant"}
    finetuned = {"train.steps": 2, "train.eval_every": 0}
    expected = bits(train("whole", **values))
    run = train("runs/run", **values, **{"train.steps": 8})
    finetune(f"./{run}", "text.txt", finetuned, to="./runs/other")
    pretrain("tiny.toml", {**values}, to=f"./{run}", resume=True)
    assert bits(run) == expected
    record, _ = scored(run, "stateful")
    assert record["text"]["part"] == "validation"
    assert scored(run, "stateful", corpus=".")[0] == record


@pytest.mark.usefixtures("place")
def test_an_untrusted_hash_in_run_json_is_never_a_path() -> None:
    run = train("run", **{"train.steps": 2})
    record = json.loads((run / "run.json").read_text())
    Path("text.txt").unlink()
    (run / "run.json").write_text(json.dumps({**record, "corpus_sha256": "../../../outside"}))
    with pytest.raises(JaxrnnError, match="corpus_sha256"):
        scored(run, "stateful")
    assert not Path("tokens").exists()


@pytest.mark.usefixtures("place")
def test_scoring_a_part_of_a_large_corpus_is_reported(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train("run", **{"train.steps": 2})
    own, notes = scored(run, "stateful")
    assert notes == []
    monkeypatch.setattr(sources, "RESIDENT_BYTES", 1000)  # so that the small corpora count as large
    assert scored(run, "stateful") == (own, [])
    monkeypatch.setattr(module, "MOST", 100)
    part, notes = scored(run, "stateful")
    assert part["text"]["scored_tokens"] == 99
    assert notes == [
        "of the 120 characters of the validation split, the first 100 are scored; --limit N scores more"
    ]
    again, notes = scored(run, "stateful", corpus="text.txt", limit=50)
    assert again["text"]["scored_tokens"] == 49
    assert "only its validation split is scored" in notes[0]
    other, notes = scored(run, "stateful", corpus="other.txt")
    assert (other["text"]["part"], other["text"]["scored_tokens"] + other["text"]["unseen_tokens"]) == (
        "whole",
        99,
    )
    assert notes == ["other.txt is large: its first 100 characters are scored; --limit N scores more"]
    assert validation_text(run, 7) == text[1080:1087]
    # Memorization reads a corpus on disk piece by piece.
    found, _ = scored(run, "stateful", memorization=True)
    assert found["memorization"]["training_tokens"] == 1080
    assert found["memorization"]["scored_text"]["longest_length"] == 50
