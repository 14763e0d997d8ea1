"""`--resume`: a training run that goes on as if it had never been stopped, and says what is not as it was."""

import csv
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jaxrnn.runs import saving
from jaxrnn.runs.directory import read_config
from jaxrnn.runs.lock import locked
from jaxrnn.runs.saved_steps import step_numbers
from jaxrnn.training import loop
from tests.cli.conftest import arrays

pytestmark = pytest.mark.usefixtures("place")

RUN = Path("checkpoints/tiny")


def metrics(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what depends on the clock."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "tokens_per_second")}
        for row in rows
    ]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch):
    """Has the next training get a SIGTERM when it has evaluated this step."""
    train = loop.train

    def arrange(step: int) -> None:
        def interrupted(*args: object, **kwargs: object) -> Iterator[loop.Event]:
            monkeypatch.setattr(loop, "train", train)
            for event in train(*args, **kwargs):  # type: ignore[arg-type]
                yield event
                if isinstance(event, loop.Evaluated) and event.step == step:
                    os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(loop, "train", interrupted)

    return arrange


@pytest.fixture
def stopped(place: Path, jaxrnn, stop_at) -> None:
    """A run that was stopped at step 10 of 20."""
    assert Path.cwd() == place
    stop_at(10)
    code, _, err = jaxrnn("pretrain", "tiny.toml")
    assert code == 143
    assert "--resume" in err.splitlines()[-1]


@pytest.mark.usefixtures("stopped")
def test_it_ends_as_a_run_that_was_never_stopped(jaxrnn, trained: Path) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert (code, out) == (0, "")
    assert "jaxrnn: resuming checkpoints/tiny from step 10 of 20" in err.splitlines()
    assert "differ" not in err
    assert arrays(RUN) == arrays(trained)
    assert metrics(RUN) == metrics(trained)


@pytest.mark.parametrize(
    "options", [["train.ema_decay=0.9"], ["train.ema_decay=0.5", "train.reset_rate=0.3"]], ids=str
)
def test_with_an_average_too_it_ends_as_a_run_that_was_never_stopped(jaxrnn, stop_at, options) -> None:
    given = [word for option in options for word in ("--set", option)]
    assert jaxrnn("pretrain", "tiny.toml", *given, "--to", "whole", "--quiet").code == 0
    stop_at(10)
    assert jaxrnn("pretrain", "tiny.toml", *given, "--quiet").code == 143
    assert jaxrnn("pretrain", "tiny.toml", *given, "--resume", "--quiet").code == 0
    assert any(name.startswith("average.") for name in arrays(RUN))
    assert arrays(RUN) == arrays(Path("checkpoints/whole"))
    assert metrics(RUN) == metrics(Path("checkpoints/whole"))
    assert "ema_decay" in jaxrnn("pretrain", "tiny.toml", "--resume").error
    assert jaxrnn("sample", "--from", RUN, "--rng-seed", "1").code == 0


def test_where_there_is_no_run_it_starts_one(jaxrnn, trained: Path) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet") == (0, "", "")
    assert arrays(RUN) == arrays(trained)


def test_a_finished_run_says_so(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert code == 0
    assert "is finished: it is at step 20" in err
    assert "--set train.steps=N" in err


def test_more_steps_prolong_a_run_and_say_what_that_does(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--set", "train.steps=30")
    assert code == 0
    assert "train.steps 20 -> 30" in err
    assert "the linear schedule is drawn anew and ends at step 30" in err
    assert read_config(RUN).train.steps == 30
    assert [row["step"] for row in metrics(RUN)] == ["10", "20", "30"]


@pytest.mark.usefixtures("stopped")
def test_a_difference_in_what_it_runs_on_is_one_line(jaxrnn, monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " ")
    _, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    (line,) = (line for line in err.splitlines() if "may differ" in line)
    assert "XLA_FLAGS" in line


@pytest.mark.usefixtures("stopped")
def test_another_model_is_refused(jaxrnn) -> None:
    assert (
        "model.layers[1]"
        in jaxrnn("pretrain", "tiny.toml", "--resume", "--set", "model.layers.1.size=9").error
    )


@pytest.mark.usefixtures("stopped")
def test_a_changed_text_is_refused_and_a_moved_one_found(jaxrnn, trained: Path) -> None:
    text = Path("text.txt").read_text(encoding="utf-8")
    Path("text.txt").write_text(text + "!", encoding="utf-8")
    assert "not the corpus that the run began with" in jaxrnn("pretrain", "tiny.toml", "--resume").error
    Path("data").mkdir()
    Path("text.txt").unlink()
    Path("data/kept.txt").write_text(text, encoding="utf-8")
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet").code == 0
    assert arrays(RUN) == arrays(trained)


def test_a_damaged_last_checkpoint_is_told_and_the_one_before_gone_on_from(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    (RUN / "steps/20/checkpoint.json").write_text("{}", encoding="utf-8")
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert code == 0
    assert "steps/20/checkpoint.json: damaged" in err
    assert "step 10 is the last good checkpoint" in err
    assert arrays(RUN) == arrays(trained)
    assert metrics(RUN) == metrics(trained)


def test_a_damaged_checkpoint_that_is_asked_for_is_named(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    for step in step_numbers(RUN / "steps"):
        (RUN / f"steps/{step}/checkpoint.json").unlink()
    assert "checkpoint.json" in jaxrnn("sample", "--from", RUN, "--rng-seed", "1").error


def test_a_run_that_is_being_written_is_refused_to_writers_and_not_to_readers(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    with locked(RUN):
        for option in ("--resume", "--overwrite"):
            code, out, err = jaxrnn("pretrain", "tiny.toml", option, "--quiet", "--set", "train.steps=30")
            assert (code, out) == (2, "")
            (line,) = err.splitlines()
            assert f"is being written by process {os.getpid()}" in line
        assert jaxrnn("sample", "--from", RUN, "--rng-seed", "1").code == 0
    assert arrays(RUN) == arrays(trained)


def test_resume_and_overwrite_exclude_each_other(jaxrnn) -> None:
    assert "--overwrite" in jaxrnn("pretrain", "tiny.toml", "--resume", "--overwrite").error


@pytest.mark.parametrize("version", [1, 9])
def test_a_run_of_another_format_is_refused_in_words(jaxrnn, trained: Path, version: int) -> None:
    shutil.copytree(trained, RUN)
    record = (RUN / "run.json").read_text(encoding="utf-8")
    (RUN / "run.json").write_text(
        record.replace('"format_version": 2', f'"format_version": {version}'), encoding="utf-8"
    )
    assert f"format version {version}" in jaxrnn("pretrain", "tiny.toml", "--resume").error


def test_a_vocabulary_that_was_changed_is_noticed(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    characters = json.loads((RUN / "vocabulary.json").read_bytes())["characters"]
    other = json.dumps({"characters": characters[:-1] + chr(ord(characters[-1]) + 1)})
    (RUN / "vocabulary.json").write_text(other, encoding="utf-8")
    assert "vocabulary.json" in jaxrnn("sample", "--from", RUN, "--rng-seed", "1").error


@pytest.mark.usefixtures("stopped")
def test_a_dry_run_says_where_it_would_go_on(jaxrnn) -> None:
    code, out, _ = jaxrnn("pretrain", "tiny.toml", "--resume", "--dry-run", "--set", "train.steps=40")
    assert code == 0
    assert "from step 10" in out
    assert "train.steps 20 -> 40" in out


# What goes wrong outside.


@pytest.mark.usefixtures("stopped")
def test_a_disk_that_is_full_costs_nothing_that_was_saved(jaxrnn, monkeypatch, trained: Path) -> None:
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))  # no file may be larger: a checkpoint's are
    try:
        code, out, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "steps/20: can't be written: File too large" in line
    assert line.endswith("checkpoints/tiny keeps step 10, from which --resume goes on")
    assert sorted(path.name for path in (RUN / "steps").iterdir()) == ["0", "10"]
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet").code == 0
    assert arrays(RUN) == arrays(trained)
    assert metrics(RUN) == metrics(trained)


# The command on a disk that fills just when room for a checkpoint was made, so that orbax is what fails.
FILLED_MEANWHILE = """
import resource
from jaxrnn import disk
from jaxrnn_cli.app import main
disk.reserve = lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
main()
"""


@pytest.mark.usefixtures("stopped")
def test_a_save_that_fails_in_many_threads_at_once_is_still_one_line() -> None:
    command = [sys.executable, "-c", FILLED_MEANWHILE, "pretrain", "tiny.toml", "--resume", "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "steps/20: can't be written: File too large" in line


def test_a_read_only_run_is_told_before_training(jaxrnn, monkeypatch, trained: Path) -> None:
    shutil.copytree(trained, RUN)

    def read_only(_: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(saving, "locked", read_only)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet", "--set", "train.steps=30")
    assert code == 1
    assert err.splitlines() == ["jaxrnn: error: checkpoints/tiny: can't be written: Read-only file system"]
    assert read_config(RUN).train.steps == 20


def test_ctrl_c_pressed_twice_ends_at_once_and_the_run_goes_on_later(jaxrnn) -> None:
    slow = ["--set", "train.steps=100000000", "--set", "train.eval_every=0"]
    command = [sys.executable, "-m", "jaxrnn_cli", "pretrain", "tiny.toml", *slow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while process.poll() is None and not list(RUN.glob("steps/[1-9]*")):
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    # Python's shell-facing 130: killed by the signal, or, where the first one had been answered already, an exit.
    assert process.returncode in (-signal.SIGINT, 130)
    assert b"Traceback" not in err
    last = step_numbers(RUN / "steps")[-1]
    wanted = ["--set", f"train.steps={last + 5}", "--set", "train.eval_every=0"]
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet", *wanted).code == 0
    assert step_numbers(RUN / "steps")[-1] == last + 5


# Divergence. With a decay of more than 2 / learning_rate the weights grow without end; with a quarter of it they don't.

DIVERGING = [
    "--set",
    "train.schedule=constant",
    "--set",
    "train.warmup_steps=0",
    "--set",
    "train.max_grad_norm=0",
]
DIVERGING += ["--set", "train.learning_rate=0.5", "--set", "train.steps=400"]


def test_a_training_that_diverges_goes_back_once_with_a_lower_rate(jaxrnn) -> None:
    code, _, err = jaxrnn("pretrain", "tiny.toml", *DIVERGING, "--set", "train.weight_decay=7")
    assert code == 0
    (line,) = (line for line in err.splitlines() if "diverged" in line)
    assert "with a quarter of the learning rate" in line
    rows = metrics(RUN)
    (rollback,) = (row for row in rows if row["event"] == "rollback")
    assert float(rollback["learning_rate"]) == pytest.approx(0.125)
    later = [row for row in rows if row["event"] == "evaluation" and int(row["step"]) > int(rollback["step"])]
    assert {float(row["learning_rate"]) for row in later} == {0.125}
    steps = [int(row["step"]) for row in rows if row["event"] == "evaluation"]
    assert steps == sorted(set(steps)) == list(range(10, 401, 10))


def test_one_that_diverges_again_stops_with_a_report_and_keeps_what_was_good(jaxrnn) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", *DIVERGING, "--set", "train.weight_decay=90", "--quiet")
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    for words in (
        "diverged by step",
        "loss",
        "gradient norm",
        "learning rate 0.125",
        "lower train.learning_rate",
        "keeps step",
    ):
        assert words in line
    assert jaxrnn("sample", "--rng-seed", "1").code == 0
