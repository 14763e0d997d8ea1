"""`jaxrnn finetune`: a trained model on another corpus, with known and new characters."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.runs.checkpoint import load_params
from jaxrnn.runs.directory import read_config, read_record, read_vocabulary
from jaxrnn.runs.saved_steps import find_step
from tests.cli.conftest import arrays, read_metrics

pytestmark = pytest.mark.usefixtures("place")

TO = Path("checkpoints/new")
SHORT = ["--set", "train.steps=20", "--set", "train.batch_size=4", "--set", "train.seq_len=8"]
SHORT += ["--set", "train.eval_every=10", "--set", "train.save_every=10", "--set", "train.sample_every=0"]


@pytest.fixture(autouse=True)
def source(place: Path, trained: Path) -> Path:
    """A trained run, `checkpoints/tiny`, and a corpus with some characters outside its vocabulary."""
    shutil.copytree(trained, "checkpoints/tiny")
    text = (place / "text.txt").read_text(encoding="utf-8").replace("window", "Fenster, größer")
    (place / "german.txt").write_text(text, encoding="utf-8")
    return Path("checkpoints/tiny")


def finetune(jaxrnn, *args: str):
    return jaxrnn("finetune", "--from", "tiny", "--corpus", "german.txt", "--to", "new", *SHORT, *args)


def evaluations(run: Path = TO) -> list[dict[str, str]]:
    return [row for row in read_metrics(run) if row["event"] == "evaluation"]


def test_a_run_is_fine_tuned_and_records_its_source(jaxrnn, source: Path) -> None:
    code, out, err = finetune(jaxrnn)
    assert (code, out) == (0, "")
    assert "'ö' (U+00F6)" in err
    assert read_config(TO).model == read_config(source).model
    assert read_config(TO).sample == read_config(source).sample
    old, new = read_vocabulary(source), read_vocabulary(TO)
    assert set(new.characters) == set(old.characters) | set(Path("german.txt").read_text(encoding="utf-8"))
    (ancestor,) = read_record(TO).history
    before = read_record(source)
    assert ancestor.run == source.name
    assert ancestor.step == find_step(source, "best").step
    assert (ancestor.corpus, ancestor.corpus_sha256) == (before.corpus, before.corpus_sha256)
    assert jaxrnn("sample", "--from", "new", "--seed", "größer", "--rng-seed", "1").out.startswith("größer")


def test_the_loss_before_the_first_step_is_printed_recorded_and_the_one_to_improve_on(jaxrnn) -> None:
    _, _, err = finetune(jaxrnn, "--set", "train.learning_rate=1e-9")
    first, *others = evaluations()
    assert (first["step"], first["event"]) == ("0", "evaluation")
    assert f"validation loss before the first step: {float(first['val_loss']):.4f} nats" in err
    assert [row["step"] for row in others] == ["10", "20"]
    for row in others:  # at this learning rate the loss does not improve
        assert float(row["val_loss"]) == pytest.approx(float(first["val_loss"]), abs=1e-3)


def test_known_characters_keep_their_weights(jaxrnn, source: Path) -> None:
    finetune(jaxrnn, "--set", "train.learning_rate=50", "--set", "train.schedule=constant")
    assert find_step(TO, "best").step == 0  # training only increases the loss
    first, *others = evaluations()
    assert all(float(row["val_loss"]) > float(first["val_loss"]) for row in others)
    old, new = read_vocabulary(source), read_vocabulary(TO)
    config = read_config(source).model
    before, after = load_params(source, config, old.size), load_params(TO, config, new.size)
    places = [new.characters.index(character) for character in old.characters]
    assert places != list(range(old.size))
    np.testing.assert_array_equal(after[0].table[np.array(places)], before[0].table)
    np.testing.assert_array_equal(after[-1].w[:, np.array(places)], before[-1].w)
    jax.tree.map(np.testing.assert_array_equal, after[1:-1], before[1:-1])


def test_unknown_characters_can_be_dropped_and_the_run_resumed(jaxrnn, source: Path) -> None:
    code, _, err = finetune(jaxrnn, "--on-unknown", "drop")
    assert code == 0
    assert "left out" in err
    assert read_vocabulary(TO) == read_vocabulary(source)
    code, _, err = finetune(jaxrnn, "--resume", "--set", "train.steps=30")
    assert code == 0
    assert "from step 20 of 30" in err


def test_unknown_characters_can_be_refused(jaxrnn) -> None:
    error = finetune(jaxrnn, "--on-unknown", "error").error
    assert "german.txt" in error and "(U+" in error
    assert not TO.exists()
    assert "'ignore' is not one of extend, drop, error" in finetune(jaxrnn, "--on-unknown", "ignore").error


def test_a_resumed_run_is_bitwise_identical(jaxrnn) -> None:
    finetune(jaxrnn)
    expected, metrics = arrays(TO, 20), read_metrics(TO)
    shutil.rmtree(TO / "steps/20")
    code, _, err = finetune(jaxrnn, "--resume")
    assert code == 0
    assert "from step 10 of 20" in err
    assert arrays(TO, 20) == expected
    assert [row["val_loss"] for row in read_metrics(TO)] == [row["val_loss"] for row in metrics]


def test_the_defaults_work_on_a_corpus_of_10_000_characters(jaxrnn) -> None:
    text = Path("german.txt").read_text(encoding="utf-8")
    Path("small.txt").write_text((text * 9)[:10_000], encoding="utf-8")
    steps = ["--set", "train.sample_every=0"]
    code, _, err = jaxrnn("finetune", "--from", "tiny", "--corpus", "small.txt", *steps)
    assert code == 0, err
    first, *others = evaluations(Path("checkpoints/tiny-small"))
    assert min(float(row["val_loss"]) for row in others) < float(first["val_loss"])
    history = json.loads(Path("checkpoints/tiny-small/run.json").read_bytes())["history"]
    assert [ancestor["run"] for ancestor in history] == ["tiny"]


def test_a_config_may_repeat_the_layers(jaxrnn) -> None:
    tiny = Path("tiny.toml").read_text(encoding="utf-8").replace("text.txt", "german.txt")
    Path("same.toml").write_text(tiny, encoding="utf-8")
    assert jaxrnn("finetune", "same.toml", "--from", "tiny", "--quiet").code == 0
    assert read_config(Path("checkpoints/same")).train.steps == 20


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--from", "tiny"], "--corpus"),
        (["--from", "nowhere", "--corpus", "german.txt"], "no such run"),
        (["--corpus", "german.txt"], "--from"),
        (["--from", "tiny", "--corpus", "nothing.txt"], "nothing.txt"),
        (["--from", "tiny", "--corpus", "german.txt", "--to", "tiny", "--overwrite"], "the run to fine-tune"),
    ],
)
def test_usage_errors_are_one_line_and_write_nothing(jaxrnn, args: list[str], words: str) -> None:
    before = sorted(Path().rglob("*"))
    assert words in jaxrnn("finetune", *args).error
    assert sorted(Path().rglob("*")) == before


def test_a_run_fine_tuned_from_another_run_is_not_resumed(jaxrnn) -> None:
    finetune(jaxrnn)
    shutil.copytree("checkpoints/tiny", "checkpoints/second")
    args = ["finetune", "--from", "second", "--corpus", "german.txt", "--to", "new", *SHORT, "--resume"]
    assert "was fine-tuned from" in jaxrnn(*args).error
    args[args.index("new")] = "tiny"
    assert "was pretrained" in jaxrnn(*args).error
