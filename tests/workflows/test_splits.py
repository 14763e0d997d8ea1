"""Validation and test splits: the end of the corpus, or separate corpora."""

from pathlib import Path
from typing import Any

import pytest

import jaxrnn
from jaxrnn.data.corpus import split_lengths
from jaxrnn.errors import ConfigError, CorpusError
from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.directory import read_record
from jaxrnn.workflows import EvaluationOptions, Note, evaluate_run, validation_text

SMALL: dict[str, Any] = {
    "model.layers.0.size": 8,
    "model.layers.1.size": 8,
    "train.steps": 4,
    "train.batch_size": 4,
    "train.seq_len": 8,
    "train.warmup_steps": 1,
    "train.eval_every": 2,
    "train.sample_every": 0,
    "train.num_devices": 1,
    "sample.prompt": "t",
}
OWN = {"corpus.text": "training.txt", "corpus.validation": "validation.txt", "corpus.test": "test.txt"}
FRACTIONS = {"corpus.text": "my.txt", "corpus.validation_fraction": 0.2, "corpus.test_fraction": 0.1}


@pytest.fixture(autouse=True)
def texts(corpus: str) -> list[str]:
    """Three texts whose concatenation is the corpus."""
    text = Path(corpus).read_text(encoding="utf-8")
    training, validation, test = split_lengths(len(text), 0.2, 0.1)
    ends = {"training": training, "validation": training + validation, "test": training + validation + test}
    starts = (0, *ends.values())
    parts = [text[start:end] for start, end in zip(starts, ends.values(), strict=False)]
    for name, part in zip(ends, parts, strict=True):
        Path(f"{name}.txt").write_text(part, encoding="utf-8")
    assert len(text) == ends["test"]
    return parts


def train(to: str, **values: Any) -> Path:
    jaxrnn.pretrain("shakespeare", {**SMALL, **values}, to=f"./{to}")
    return Path(to)


def bits(run: Path) -> dict[str, bytes]:
    return {name: leaf.tobytes() for name, leaf in load_leaves(run, "last").items()}


def score(run: Path, split: str = "validation", corpus: str | None = None) -> tuple[Any, Any]:
    options = EvaluationOptions(("stateful",), corpus, 16, 20, None, False, 50, 0, split=split)
    record = evaluate_run(run, options).record
    return record["text"], record["protocols"]["stateful"]["nll"]


@pytest.mark.parametrize("streamed", ["never", "always"])
def test_separate_corpora_equal_splits_of_one_corpus(
    texts: list[str], streamed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", "tokens")
    run = train("fractions", **FRACTIONS, **{"corpus.streamed": streamed})
    own = train("own", **OWN, **{"corpus.streamed": streamed})
    assert bits(run) == bits(own)
    for split, part in zip(("validation", "test"), texts[1:], strict=True):
        (text, nll), (other, expected) = score(run, split), score(own, split)
        assert nll == expected
        assert text["part"] == other["part"] == split
        assert text["sha256"] == other["sha256"]
        assert text["scored_tokens"] == len(part) - 1
    assert validation_text(run, 10**6) == validation_text(own, 10**6) == texts[1]
    assert score(run, "test", "my.txt") == score(run, "test")


def test_training_does_not_read_the_test_corpus() -> None:
    Path("test.txt").write_bytes(b"\0")
    run = train("run", **OWN)
    with pytest.raises(CorpusError, match=r"test\.txt is binary"):
        score(run, "test")
    assert score(run)[0]["part"] == "validation"
    Path("test.txt").unlink()
    with pytest.raises(CorpusError, match=r"no file test\.txt"):
        train("another", **OWN)


def test_separate_corpora_are_found_from_another_directory_and_on_resume(
    texts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constant = {"train.schedule": "constant", **OWN}
    whole = train("whole", **constant)
    run = train("run", **constant, **{"train.steps": 2})
    jaxrnn.pretrain("shakespeare", {**SMALL, **constant}, to="./run", resume=True)
    assert bits(run) == bits(whole)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert score(tmp_path / "run", "test")[0]["scored_tokens"] == len(texts[2]) - 1
    for key, value in (("validation", "../test.txt"), ("validation", ""), ("test", "")):
        with pytest.raises(ConfigError, match=f"can't be resumed with another corpus.{key}"):
            jaxrnn.pretrain("shakespeare", {**SMALL, **OWN, f"corpus.{key}": value}, to="../run", resume=True)


def test_the_vocabulary_includes_the_validation_corpus() -> None:
    Path("validation.txt").write_text("to bé or not to bé " * 9, encoding="utf-8")
    notes: list[Any] = []
    run = jaxrnn.pretrain("shakespeare", {**SMALL, **OWN}, to="./run", on_event=notes.append)
    assert "é" in run.vocabulary.characters
    assert any(
        note.message.startswith("validation.txt: 1 character is new to the model, 18 of")
        for note in notes
        if isinstance(note, Note)
    )
    tuned = jaxrnn.finetune("./run", "my.txt", {**SMALL, "corpus.validation": "test.txt"}, to="./tuned")
    assert tuned.vocabulary == run.vocabulary
    assert read_record(Path("tuned")).validation_path == str(Path("test.txt").absolute())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"corpus.validation": "training.txt"}, "corpus.validation: is the training corpus"),
        ({"corpus.test_fraction": 0.1}, "corpus.test names the test corpus; must be 0"),
        ({"corpus.test": "", "corpus.test_fraction": 1.0}, "must be a number from 0 to below 1"),
        (
            {"corpus.validation": "", "corpus.test": "", "corpus.test_fraction": 0.9},
            "with validation_fraction = 0.1 the training split is empty",
        ),
    ],
)
def test_invalid_splits_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train("run", **OWN | values)
    assert not Path("run").exists()


def test_a_run_without_a_test_split_is_refused() -> None:
    run = train("run", **{"corpus.text": "training.txt"})
    with pytest.raises(CorpusError, match=r"the run holds out 0 characters of training\.txt for test"):
        score(run, "test")
