"""`jaxrnn pretrain`: what a training run leaves behind, and what stops it before anything is written."""

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxrnn.config import load_config
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import METRICS_COLUMNS, is_run, read_config
from jaxrnn.runs.saved_steps import list_steps
from jaxrnn.training import loop
from jaxrnn.training.state import init_state
from jaxrnn.workflows import Job, Memory, estimate_memory, load_data

pytestmark = pytest.mark.usefixtures("place")

RUN = Path("checkpoints/tiny")


def read_metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_a_run_that_can_be_sampled(jaxrnn) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", "--set", "train.sample_every=10")
    assert (code, out) == (0, "")

    assert {path.name for path in RUN.iterdir()} >= {
        "run.json", "config.toml", "vocabulary.json", "metrics.csv", "samples.txt", "loss.png", "steps",
    }  # fmt: skip
    assert read_config(RUN) == load_config(Path("tiny.toml"), ["train.sample_every=10"])
    assert [saved.step for saved in list_steps(RUN)][-1] == 20

    rows = read_metrics(RUN)
    assert tuple(rows[0]) == METRICS_COLUMNS
    assert [(row["step"], row["tokens"], row["event"]) for row in rows] == [
        ("10", "320", "evaluation"),
        ("20", "640", "evaluation"),
    ]
    for row in rows:
        assert float(row["bits_per_token"]) == pytest.approx(float(row["val_loss"]) / math.log(2))
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])

    samples = (RUN / "samples.txt").read_text(encoding="utf-8")
    assert "--- step 10 ---" in samples and "--- step 20 ---" in samples

    lines = err.splitlines()
    assert any("step 10/20" in line and "bits/char" in line for line in lines)
    assert "--- sampled at step 20 ---" in lines
    for told in ("20 steps in", f"{float(rows[-1]['val_loss']):.4f} nats", "char/s"):
        assert told in lines[-2]
    *_, advice = lines[-1].split(": ")
    assert advice == "jaxrnn sample --from checkpoints/tiny"

    first = jaxrnn(*advice.split()[1:], "--seed", "ROMEO:", "--rng-seed", "1")
    assert first.code == 0 and first.out.startswith("ROMEO:")
    assert first == jaxrnn(*advice.split()[1:], "--seed", "ROMEO:", "--rng-seed", "1")


def test_quiet_is_quiet(jaxrnn) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--set", "train.steps=2") == (0, "", "")
    assert is_run(RUN)


def test_without_held_out_text_the_loss_of_the_training_is_told(jaxrnn) -> None:
    _, _, err = jaxrnn(
        "pretrain", "tiny.toml", "--set", "corpus.validation_fraction=0", "--set", "train.steps=2"
    )
    assert "train loss" in err.splitlines()[-2] and "held-out" not in err.splitlines()[-2]
    assert {row["val_loss"] for row in read_metrics(RUN)} == {""}


def test_without_matplotlib_a_line_says_how_to_get_the_curve(jaxrnn, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--set", "train.steps=2")
    assert code == 0
    assert "jaxrnn: no loss.png: for it, pip install matplotlib" in err.splitlines()
    assert not (RUN / "loss.png").exists()


@pytest.mark.parametrize(("to", "run"), [("other", "checkpoints/other"), ("deep/er/run", "deep/er/run")])
def test_a_run_lands_where_it_is_told_to(jaxrnn, to: str, run: str) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--to", to, "--quiet", "--set", "train.steps=1").code == 0
    assert is_run(Path(run))


def test_a_dry_run_tells_the_plan_and_writes_nothing(jaxrnn) -> None:
    before = sorted(Path().rglob("*"))
    code, out, err = jaxrnn("pretrain", "tiny.toml", "--dry-run")
    assert (code, err) == (0, "")
    assert sorted(Path().rglob("*")) == before
    plan = dict(line.split(":", 1) for line in out.splitlines())
    text = Path("text.txt").read_text(encoding="utf-8")
    characters = int(len(text) * 0.9 + 1e-6)
    vocabulary = len(set(text))
    parameters = 8 * vocabulary + 8 * 8 + 8 * 8 + 8 + 8 * vocabulary + vocabulary
    assert f"{characters:,} characters" in plan["training"]
    assert plan["parameters"].strip() == f"{parameters:,}"
    assert "20 of 32 characters (4 x 8)" in plan["steps"]
    assert f"{20 * 32 / characters:.2f}" in plan["epochs"]
    assert "B" in plan["memory"]
    for name in ("checkpoints/tiny/", "run.json", "metrics.csv", "steps/", "loss.png"):
        assert name in plan["would write"]


def test_a_plan_counts_all_batches_of_a_step(jaxrnn) -> None:
    once, thrice = (
        dict(
            line.split(":", 1)
            for line in jaxrnn(
                "pretrain", "tiny.toml", "--dry-run", "--set", f"train.accumulate_steps={n}"
            ).out.splitlines()
        )
        for n in (1, 3)
    )
    assert once["steps"].strip() == "20 of 32 characters (4 x 8)"
    assert thrice["steps"].strip() == "20 of 96 characters (3 batches of 4 x 8)"
    assert float(thrice["epochs"].split(",")[0]) == pytest.approx(
        3 * float(once["epochs"].split(",")[0]), abs=0.02
    )


def test_the_estimate_of_memory_grows_with_the_batch_and_the_model() -> None:
    def memory(*overrides: str) -> Memory:
        return estimate_memory(load_data(Job(load_config("tiny.toml", overrides))))

    small = memory()
    # The parameters, two moments of the optimizer, and little else, in float32.
    assert 3 * 4 * small.parameters < small.state < 4 * 4 * small.parameters
    assert memory("train.seq_len=80").update > 4 * small.update
    assert memory("model.layers.1.size=64").state > 3 * small.state


# Signals.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_its_exit_code(jaxrnn, monkeypatch, number: signal.Signals) -> None:
    train = loop.train

    def interrupted(*args, **kwargs) -> Iterator[loop.Event]:
        for event in train(*args, **kwargs):
            yield event
            if isinstance(event, loop.Evaluated) and event.step == 10:
                os.kill(os.getpid(), number)

    monkeypatch.setattr(loop, "train", interrupted)
    before = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
    code, _, err = jaxrnn("pretrain", "tiny.toml")
    assert code == 128 + number
    assert f"stopped by {number.name} and saved at step 10 of 20" in err.splitlines()[-1]
    assert list_steps(RUN)[-1].step == 10
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == before
    assert jaxrnn("sample", "--rng-seed", "1").code == 0


def test_ctrl_c_in_the_middle_of_a_real_training_leaves_a_run_that_samples(jaxrnn) -> None:
    options = ["--set", "train.steps=100000000", "--set", "train.eval_every=0"]
    command = [sys.executable, "-m", "jaxrnn_cli", "pretrain", "tiny.toml", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while process.poll() is None and not list(RUN.glob("steps/[1-9]*")):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert b"stopped by SIGINT and saved at step" in err.splitlines()[-1]
    assert jaxrnn("sample", "--rng-seed", "1").code == 0


# What goes wrong in the middle.


def test_a_run_that_can_not_be_written_any_more_ends_the_training(jaxrnn, monkeypatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxrnn.runs.directory.append_text", full)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--quiet")
    assert code == 1
    (line,) = err.splitlines()
    assert "metrics.csv" in line and "No space left on device" in line


# An existing run.


def test_overwriting_replaces_a_run(jaxrnn) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--set", "train.steps=1").code == 0
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--set", "train.steps=2", "--overwrite").code == 0
    assert read_config(RUN).train.steps == 2
    assert [path.name for path in RUN.parent.iterdir()] == ["tiny"]


def make_run(path: Path) -> None:
    """A run directory, without training one."""
    data = load_data(Job(load_config("tiny.toml")))
    create_run(path, data.config, data.vocabulary, data.record, init_state(data.config, data.vocabulary.size))


# Bad input: one line, exit code 2, nothing written, nothing lost.


def test_a_run_that_exists_is_refused_with_the_ways_on(refused) -> None:
    make_run(RUN)
    error = refused("tiny.toml")
    for words in ("checkpoints/tiny", "--overwrite", "--to"):
        assert words in error
    assert "checkpoints/tiny" in refused("tiny.toml", "--dry-run")


@pytest.mark.parametrize("to", ["./text.txt", "text.txt/run", ".", "..", "", "./folder", "bad\0name"])
def test_a_place_where_no_run_can_be_is_refused(refused, to: str) -> None:
    Path("folder").mkdir()
    Path("folder/precious").write_text("")
    refused("tiny.toml", "--to", to)
    refused("tiny.toml", "--to", to, "--overwrite")


def test_a_folder_that_can_not_be_written_is_refused(refused) -> None:
    Path("locked").mkdir(mode=0o500)
    if os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "locked" in refused("tiny.toml", "--to", "locked/run")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no file text.txt"),
        (b"", "text.txt"),
        (b"x", "text.txt"),
        (b"\x7fELF\0\0\0", "NUL byte at offset 4"),
        (b"good so far \xff", "offset 12"),
        ("\ufeffgut".encode("utf-16"), "UTF-16"),
        (b"too short", "37 for training"),
    ],
)
def test_a_corpus_that_can_not_be_learned_from_is_refused(refused, content, said: str) -> None:
    Path("text.txt").unlink()
    if content is not None:
        Path("text.txt").write_bytes(content)
    assert said in refused("tiny.toml")


@pytest.mark.parametrize("text", ["nowhere.txt", "/dev/null", "shakespear"])
def test_a_corpus_that_is_no_file_is_refused(refused, text: str) -> None:
    assert text in refused("tiny.toml", "--set", f"corpus.text={text}")


def test_a_corpus_that_can_not_be_read_is_refused(refused) -> None:
    Path("locked.txt").write_text("to be or not to be " * 100)
    Path("locked.txt").chmod(0)
    if os.access("locked.txt", os.R_OK):
        pytest.skip("this user may read everything")
    assert "locked.txt" in refused("tiny.toml", "--set", "corpus.text=locked.txt")


@pytest.mark.parametrize(
    "content",
    [
        b"[train\n",
        b"steps = ",
        b"# \xff\n",
        b"x = " + b"[" * 100_000,
        b"#" * 10_000_000,
        b"\x00",
        b"steps = " + b"9" * 100_000,
    ],
    ids=["open header", "no value", "not UTF-8", "deep", "huge", "binary", "long number"],
)
def test_a_config_that_is_no_toml_is_refused(refused, content: bytes) -> None:
    Path("bad.toml").write_bytes(content)
    assert "bad.toml" in refused("bad.toml")


@pytest.mark.parametrize("name", ["nowhere.toml", ".", "checkpoints/none"])
def test_a_config_that_is_not_there_is_refused(refused, name: str) -> None:
    assert name in refused(name)


def test_a_config_that_almost_has_the_name_of_a_shipped_one_is_refused_with_it(refused) -> None:
    assert "did you mean shakespeare?" in refused("shakespere")


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("batch_size = 4", "batchsize = 4", "batch_size"),
        ("[train]", "[trian]", "train"),
        ("steps = 20", "steps = true", "steps = true"),
        ("steps = 20", "steps = 1e3", "steps = 1000.0"),
        ("steps = 20", "steps = 0", "steps = 0"),
        ("steps = 20", 'steps = "20"', "steps"),
        ("seq_len = 8", "seq_len = -8", "seq_len = -8"),
        ("seq_len = 8", "seq_len = 8\nlearning_rate = nan", "learning_rate = nan"),
        ("seq_len = 8", "seq_len = 8\nlearning_rate = inf", "learning_rate = inf"),
        ('size = 8 }, { type = "dense"', 'size = 0 }, { type = "dense"', "layers[1]"),
        ('type = "rnn"', 'type = "rnm"', "rnn"),
        ('{ type = "dense" }', '{ type = "dropout", rate = 0.5 }', "dense"),
        ("length = 30", "temperature = -1", "temperature = -1"),
        ("length = 30", "top_p = 0", "top_p = 0"),
        ("length = 30", 'prompt = "€"', "sample.prompt"),
        ("batch_size = 4", "batch_size = 4\ndevices = 3", "devices"),
        ("batch_size = 4", "batch_size = 4\ndevices = 4096", "devices"),
    ],
)
def test_a_config_that_can_not_be_meant_is_refused(refused, was, becomes, said) -> None:
    config = Path("tiny.toml").read_text(encoding="utf-8")
    assert was in config
    Path("tiny.toml").write_text(config.replace(was, becomes), encoding="utf-8")
    assert said in refused("tiny.toml")


@pytest.mark.parametrize(
    "override", ["train.stepz=3", "train.steps", "train.steps=x", "=", "", "model.layers.9.size=3"]
)
def test_an_override_that_can_not_be_meant_is_refused(refused, override: str) -> None:
    assert "--set" in refused("tiny.toml", "--set", override)


def test_event_files_are_written_where_they_are_asked_for(jaxrnn, place: Path) -> None:
    pytest.importorskip("tensorboardX")
    assert jaxrnn("pretrain", "tiny.toml", "--quiet").code == 0
    assert not (place / "checkpoints/tiny/tensorboard").exists()
    asked = ("--set", "log.tensorboard=true")
    assert "tensorboard/" in jaxrnn("pretrain", "tiny.toml", "--dry-run", "--overwrite", *asked).out
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--overwrite", *asked).code == 0
    assert len(list((place / "checkpoints/tiny/tensorboard").iterdir())) == 1
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--resume", *asked, "--set", "train.steps=30").code == 0
    assert len(list((place / "checkpoints/tiny/tensorboard").iterdir())) == 2
