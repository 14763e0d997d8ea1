"""`jaxrnn pretrain`: files and output of a run, signals, and errors before anything is written."""

import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrnn.config import load_config
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import is_run, read_config
from jaxrnn.runs.saved_steps import list_steps
from jaxrnn.training.state import init_state
from jaxrnn.workflows import Job, load_data
from jaxrnn_cli.startup.signals import catch_signals
from tests.cli.conftest import read_metrics

pytestmark = pytest.mark.usefixtures("place")

RUN = Path("checkpoints/tiny")


def test_a_trained_run_can_be_sampled(jaxrnn) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", "--set", "train.sample_every=10")
    assert (code, out) == (0, "")

    assert {path.name for path in RUN.iterdir()} >= {
        "run.json", "config.toml", "vocabulary.json", "metrics.csv", "samples.txt", "loss.png", "steps",
    }  # fmt: skip
    assert read_config(RUN) == load_config(Path("tiny.toml"), ["train.sample_every=10"])
    assert [saved.step for saved in list_steps(RUN)][-1] == 20

    rows = read_metrics(RUN)
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


def test_training_losses_are_logged_without_evaluations(jaxrnn) -> None:
    options = ["train.log_every=5", "train.eval_every=0", "train.steps=12"]
    code, _, err = jaxrnn(
        "pretrain", "tiny.toml", *(word for option in options for word in ("--set", option))
    )
    assert code == 0
    rows = read_metrics(RUN)
    assert [(row["step"], row["event"]) for row in rows] == [
        ("1", "training"), ("5", "training"), ("10", "training"), ("12", "evaluation"),
    ]  # fmt: skip
    vocabulary = len(set(Path("text.txt").read_text(encoding="utf-8")))
    assert float(rows[0]["train_loss"]) == pytest.approx(math.log(vocabulary), rel=0.1)
    assert [row["val_loss"] == "" for row in rows] == [True, True, True, False]
    assert [f"step {step:2}/12  train loss" in err for step in (1, 5, 12)] == [
        True,
        False,
        True,
    ]  # but not too many


def test_quiet_prints_nothing(jaxrnn) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--quiet", "--set", "train.steps=2") == (0, "", "")
    assert is_run(RUN)


def test_the_training_loss_is_reported_without_a_validation_split(jaxrnn) -> None:
    _, _, err = jaxrnn(
        "pretrain", "tiny.toml", "--set", "corpus.validation_fraction=0", "--set", "train.steps=2"
    )
    assert "train loss" in err.splitlines()[-2] and "validation loss" not in err.splitlines()[-2]
    assert {row["val_loss"] for row in read_metrics(RUN)} == {""}


def test_missing_matplotlib_is_reported_with_the_command_for_the_curve(jaxrnn, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--set", "train.steps=2")
    assert code == 0
    assert "jaxrnn: no loss.png: for it, pip install matplotlib" in err.splitlines()
    assert not (RUN / "loss.png").exists()


def test_dry_run_prints_the_plan_and_writes_nothing(jaxrnn) -> None:
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


@pytest.mark.parametrize(
    ("peak", "said"), [(12_300_000, "fits, with 12.3 MB at most"), (None, "does not fit")]
)
def test_dry_run_says_whether_a_run_fits_on_another_device(jaxrnn, monkeypatch, peak, said) -> None:
    monkeypatch.setattr("jaxrnn.workflows.memory_on", lambda _target, _data: peak)
    code, out, _ = jaxrnn("pretrain", "tiny.toml", "--dry-run", "--for", "v5e")
    assert code == 0
    assert out.splitlines()[-1] == f"on v5e:         {said}; one TPU v5e has 17.2 GB"


def test_another_device_is_refused_without_a_dry_run_or_a_compiler(jaxrnn, monkeypatch) -> None:
    monkeypatch.setattr("jaxrnn.parallel.targets._is_installed", lambda _: False)
    for options, problem in (
        (["--for", "h100"], "needs --dry-run"),
        (["--dry-run", "--for", "h100"], "no compiler for it is installed"),
        (["--dry-run", "--for", "h10"], "did you mean h100?"),
    ):
        code, _, err = jaxrnn("pretrain", "tiny.toml", *options)
        assert code == 2
        assert problem in err
        assert err.count("\n") == 1


def test_dry_run_counts_accumulated_batches(jaxrnn) -> None:
    out = jaxrnn("pretrain", "tiny.toml", "--dry-run", "--set", "train.accumulate_steps=3").out
    plan = dict(line.split(":", 1) for line in out.splitlines())
    assert plan["steps"].strip() == "20 of 96 characters (3 batches of 4 x 8)"
    characters = int(plan["training"].split()[0].replace(",", ""))
    assert f"{20 * 96 / characters:.2f}" in plan["epochs"]


# Signals.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_saves_and_ends_with_its_exit_code(jaxrnn, stop_at, number: signal.Signals) -> None:
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    found = signal.signal(number, default)  # tests may run under nohup, which ignores SIGHUP
    before = [signal.getsignal(signal.SIGINT), default]
    stop_at(10, number)
    try:
        code, _, err = jaxrnn("pretrain", "tiny.toml")
        assert [signal.getsignal(signal.SIGINT), signal.getsignal(number)] == before
    finally:
        signal.signal(number, found)
    assert code == 128 + number
    assert f"stopped by {number.name} and saved at step 10 of 20" in err.splitlines()[-1]
    assert list_steps(RUN)[-1].step == 10
    assert jaxrnn("sample", "--rng-seed", "1").code == 0


def test_a_signal_ignored_by_nohup_does_not_stop_training() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_signals(quiet=True) as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not caught
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_training_run_continues_with_closed_stderr(place: Path) -> None:
    command = [sys.executable, "-m", "jaxrnn_cli", "pretrain", "tiny.toml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        assert process.wait(120) == 0
    assert list_steps(place / RUN)[-1].step == 20


def test_ctrl_c_during_training_leaves_a_run_that_can_be_sampled(jaxrnn, ctrl_c) -> None:
    code, out, err = ctrl_c(1)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert "stopped by SIGINT and saved at step" in err.splitlines()[-1]
    assert jaxrnn("sample", "--rng-seed", "1").code == 0


# Failures during training.


def test_training_ends_when_the_run_becomes_unwritable(jaxrnn, monkeypatch) -> None:
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


# Usage errors: one line, exit code 2, nothing written or lost.


def test_an_existing_run_is_refused_with_the_options(refused) -> None:
    make_run(RUN)
    error = refused("tiny.toml")
    for words in ("checkpoints/tiny", "--overwrite", "--to"):
        assert words in error
    assert "checkpoints/tiny" in refused("tiny.toml", "--dry-run")


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("[train]", "[trian]", "tiny.toml: trian: unknown key; did you mean train?"),
        ("steps = 20", "steps = 0", "steps = 0"),
        ("[train]", "[train", "tiny.toml"),
        ('"text.txt"', '"nowhere.txt"', "no file nowhere.txt"),
        ('"text.txt"', '"/dev/null"', "/dev/null"),
        ('"text.txt"', '"binary"', "NUL byte at offset 4"),
        ('"text.txt"', '"short"', "37 for training"),
        ("length = 30", 'prompt = "€"', "sample.prompt"),
        ("length = 30", 'stop = "€"', "sample.stop"),
        ("batch_size = 4", "batch_size = 4\ndevices = 3", "devices"),
    ],
)
def test_an_invalid_config_is_refused(refused, was: str, becomes: str, said: str) -> None:
    Path("binary").write_bytes(b"\x7fELF\0\0\0")
    Path("short").write_text("too short")
    config = Path("tiny.toml").read_text(encoding="utf-8")
    assert was in config
    Path("tiny.toml").write_text(config.replace(was, becomes), encoding="utf-8")
    assert said in refused("tiny.toml")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.toml"], "nowhere.toml"),
        (["shakespere"], "did you mean shakespeare?"),
        (["tiny.toml", "--set", "train.stepz=3"], "--set train.stepz=3"),
        (["tiny.toml", "--set", ""], "--set"),
        (["tiny.toml", "--to", "text.txt/run"], "text.txt"),
        (["tiny.toml", "--to", "./text.txt", "--overwrite"], "text.txt"),
    ],
)
def test_an_invalid_argument_is_refused(refused, args: list[str], said: str) -> None:
    assert said in refused(*args)


def test_log_to_tensorboard_writes_event_files(jaxrnn) -> None:
    pytest.importorskip("tensorboardX")
    asked = ("--quiet", "--overwrite", "--set", "train.steps=2")
    for log_to in ([], ["--log-to", "tensorboard"]):
        assert jaxrnn("pretrain", "tiny.toml", *asked, *log_to).code == 0
        assert len(list(RUN.glob("tensorboard/*"))) == len(log_to) / 2
    assert jaxrnn("pretrain", "tiny.toml", *asked, "--log-to", "tensorbord").code == 2


def test_a_run_contains_no_path_or_host_except_the_path_of_its_corpus(
    jaxrnn, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "unmistakable")
    quick = ["--quiet", "--set", "train.steps=2"]
    curves = ["--log-to", "tensorboard"] if importlib.util.find_spec("tensorboardX") else []
    assert jaxrnn("pretrain", "tiny.toml", *quick, *curves).code == 0
    more = [*quick, "--set", "train.batch_size=4", "--set", "train.seq_len=8"]
    assert jaxrnn("finetune", "--from", "tiny", "--corpus", "text.txt", "--to", "more", *more).code == 0
    for run in (place / "checkpoints/tiny", place / "checkpoints/more"):
        record = json.loads((run / "run.json").read_text())
        assert record["corpus_path"] == str(place / "text.txt")
        (run / "run.json").write_text(json.dumps({**record, "corpus_path": "text.txt"}))
        assert jaxrnn("evaluate", "--from", run, "--json").code == 0  # so the recorded path may be shortened
    for path in place.glob("checkpoints/**/*"):
        told = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        assert b"unmistakable" not in told and str(place).encode() not in told, path
