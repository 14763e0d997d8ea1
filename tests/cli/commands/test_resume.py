"""`--resume`: resumed runs equal uninterrupted runs, and differences are reported."""

import errno
import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

from jaxrnn.runs import saving
from jaxrnn.runs.directory import read_config
from jaxrnn.runs.lock import locked
from jaxrnn.runs.saved_steps import step_numbers
from tests.cli.conftest import arrays, in_process, read_metrics

pytestmark = pytest.mark.usefixtures("place")

RUN = Path("checkpoints/tiny")


@pytest.fixture
def stopped(place: Path, jaxrnn, stop_at) -> None:
    """A run stopped at step 10 of 20."""
    assert Path.cwd() == place
    stop_at(10)
    code, _, err = jaxrnn("pretrain", "tiny.toml")
    assert code == 143
    assert "--resume" in err.splitlines()[-1]


@pytest.mark.usefixtures("stopped")
def test_a_resumed_run_is_bitwise_identical_to_an_uninterrupted_one(jaxrnn, trained: Path) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert (code, out) == (0, "")
    assert "jaxrnn: resuming checkpoints/tiny from step 10 of 20" in err.splitlines()
    assert "differ" not in err
    assert arrays(RUN) == arrays(trained)
    assert read_metrics(RUN) == read_metrics(trained)


def test_a_resumed_run_with_averaged_parameters_is_bitwise_identical(jaxrnn, stop_at) -> None:
    given = ["--set", "train.ema_decay=0.5", "--set", "train.reset_rate=0.3"]
    assert jaxrnn("pretrain", "tiny.toml", *given, "--to", "whole", "--quiet").code == 0
    stop_at(10)
    assert jaxrnn("pretrain", "tiny.toml", *given, "--quiet").code == 143
    assert jaxrnn("pretrain", "tiny.toml", *given, "--resume", "--quiet").code == 0
    assert any(name.startswith("average.") for name in arrays(RUN))
    assert arrays(RUN) == arrays(Path("checkpoints/whole"))
    assert read_metrics(RUN) == read_metrics(Path("checkpoints/whole"))
    assert "ema_decay" in jaxrnn("pretrain", "tiny.toml", "--resume").error
    assert jaxrnn("sample", "--from", RUN, "--rng-seed", "1").code == 0


def test_resume_without_a_run_starts_one(jaxrnn, trained: Path) -> None:
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet") == (0, "", "")
    assert arrays(RUN) == arrays(trained)


def test_a_finished_run_is_reported(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert code == 0
    assert "is finished: it is at step 20" in err
    assert "--set train.steps=N" in err


def test_more_steps_prolong_a_run_with_a_note_on_the_schedule(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--set", "train.steps=30")
    assert code == 0
    assert "train.steps 20 -> 30" in err
    assert "the linear schedule is recomputed and ends at step 30" in err
    assert read_config(RUN).train.steps == 30
    assert [row["step"] for row in read_metrics(RUN)] == ["10", "20", "30"]


@pytest.mark.usefixtures("stopped")
def test_a_different_environment_is_reported_in_one_line(jaxrnn, monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " ")
    _, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    (line,) = (line for line in err.splitlines() if "environment has changed" in line)
    assert "XLA_FLAGS" in line


def test_another_model_is_refused(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    wider = ["--set", "model.layers.1.size=9"]
    assert "model.layers[1]" in jaxrnn("pretrain", "tiny.toml", "--resume", *wider).error


@pytest.mark.usefixtures("stopped")
def test_a_changed_corpus_is_refused(jaxrnn) -> None:
    with Path("text.txt").open("a") as file:
        file.write("!")
    error = jaxrnn("pretrain", "tiny.toml", "--resume").error
    assert "text.txt is not the corpus that the run began with" in error
    assert error.endswith("to train on another corpus: jaxrnn finetune --from checkpoints/tiny --corpus TEXT")


@pytest.mark.usefixtures("stopped")
def test_a_moved_corpus_is_accepted_and_another_corpus_is_refused(jaxrnn, place: Path, trained: Path) -> None:
    (place / "other.txt").write_text((place / "text.txt").read_text() + "!")
    config, resume = (RUN / "config.toml").read_bytes(), ("pretrain", "tiny.toml", "--resume", "--set")
    for name, why in {"other.txt": "not the corpus that the run began with", "gone.txt": "no file"}.items():
        error = jaxrnn(*resume, f"corpus.text={name}").error
        assert f"{name}" in error and why in error and "(text.txt); to train on another corpus:" in error
    assert (RUN / "config.toml").read_bytes() == config
    (place / "text.txt").rename(place / "moved.txt")
    code, _, err = jaxrnn(*resume, "corpus.text=moved.txt")
    assert code == 0 and 'corpus.text "text.txt" -> "moved.txt"' in err
    assert arrays(RUN) == arrays(trained)
    assert read_config(RUN).corpus.text == "moved.txt"


def test_a_corrupt_last_checkpoint_is_reported_and_the_previous_one_restored(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    (RUN / "steps/20/checkpoint.json").write_text("{}", encoding="utf-8")
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume")
    assert code == 0
    assert "steps/20/checkpoint.json: corrupt" in err
    assert "step 10 is the last intact checkpoint" in err
    assert arrays(RUN) == arrays(trained)
    assert read_metrics(RUN) == read_metrics(trained)


def test_a_run_being_written_is_locked_for_writers_only(jaxrnn, trained: Path) -> None:
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


def test_a_changed_vocabulary_is_refused(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    characters = json.loads((RUN / "vocabulary.json").read_bytes())["characters"]
    other = json.dumps({"characters": characters[:-1] + chr(ord(characters[-1]) + 1)})
    (RUN / "vocabulary.json").write_text(other, encoding="utf-8")
    assert "vocabulary.json" in jaxrnn("sample", "--from", RUN, "--rng-seed", "1").error


def test_dry_run_reports_the_step_to_resume_from(jaxrnn, trained: Path) -> None:
    shutil.copytree(trained, RUN)
    code, out, _ = jaxrnn("pretrain", "tiny.toml", "--resume", "--dry-run", "--set", "train.steps=40")
    assert code == 0
    assert "from step 20" in out
    assert "train.steps 20 -> 40" in out


# Failures of the environment.


@pytest.mark.usefixtures("stopped")
def test_a_full_disk_keeps_saved_checkpoints(jaxrnn, monkeypatch, trained: Path) -> None:
    monkeypatch.setattr(saving, "_RETRY_SECONDS", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))  # maximum file size, below that of a checkpoint
    try:
        code, out, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "steps/20: can't be written: File too large" in line
    assert line.endswith("checkpoints/tiny keeps step 10, from which --resume continues")
    assert sorted(path.name for path in (RUN / "steps").iterdir()) == ["0", "10"]
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet").code == 0
    assert arrays(RUN) == arrays(trained)
    assert read_metrics(RUN) == read_metrics(trained)


# The command on a disk that becomes full after space for a checkpoint was reserved, so that orbax fails.
FILLED_MEANWHILE = """
import resource
from jaxrnn import disk
from jaxrnn_cli.app import main
disk.reserve = lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
main()
"""


@pytest.mark.usefixtures("stopped")
def test_a_save_that_fails_in_many_threads_is_one_line() -> None:
    ended = in_process("-c", FILLED_MEANWHILE, "pretrain", "tiny.toml", "--resume", "--quiet")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "steps/20: can't be written: File too large" in line


def test_a_read_only_run_is_refused_before_training(jaxrnn, monkeypatch, trained: Path) -> None:
    shutil.copytree(trained, RUN)

    def read_only(_: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(saving, "locked", read_only)
    code, _, err = jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet", "--set", "train.steps=30")
    assert code == 1
    assert err.splitlines() == ["jaxrnn: error: checkpoints/tiny: can't be written: Read-only file system"]
    assert read_config(RUN).train.steps == 20


def test_a_second_ctrl_c_ends_at_once_and_the_run_can_be_resumed(jaxrnn, ctrl_c) -> None:
    code, _, err = ctrl_c(2)
    # Killed by the signal, or a normal exit if the first signal was handled already.
    assert code in (-signal.SIGINT, 130)
    assert "Traceback" not in err
    last = step_numbers(RUN / "steps")[-1]
    wanted = ["--set", f"train.steps={last + 5}", "--set", "train.eval_every=0"]
    assert jaxrnn("pretrain", "tiny.toml", "--resume", "--quiet", *wanted).code == 0
    assert step_numbers(RUN / "steps")[-1] == last + 5


# Divergence: weights grow without bound with a weight decay above 2 / learning_rate, but not with a quarter of it.

DIVERGING = ["schedule=constant", "warmup_steps=0", "max_grad_norm=0", "learning_rate=0.5", "steps=400"]
DIVERGING = [word for setting in DIVERGING for word in ("--set", f"train.{setting}")]


def test_divergence_rolls_back_once_with_a_lower_learning_rate(jaxrnn) -> None:
    code, _, err = jaxrnn("pretrain", "tiny.toml", *DIVERGING, "--set", "train.weight_decay=7")
    assert code == 0
    (line,) = (line for line in err.splitlines() if "diverged" in line)
    assert "with a quarter of the learning rate" in line
    rows = read_metrics(RUN)
    (rollback,) = (row for row in rows if row["event"] == "rollback")
    assert float(rollback["learning_rate"]) == pytest.approx(0.125)
    later = [row for row in rows if row["event"] == "evaluation" and int(row["step"]) > int(rollback["step"])]
    assert {float(row["learning_rate"]) for row in later} == {0.125}
    steps = [int(row["step"]) for row in rows if row["event"] == "evaluation"]
    assert steps == sorted(set(steps)) == list(range(10, 401, 10))


def test_a_second_divergence_stops_and_keeps_the_last_good_checkpoint(jaxrnn) -> None:
    code, out, err = jaxrnn("pretrain", "tiny.toml", *DIVERGING, "--set", "train.weight_decay=90", "--quiet")
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    for words in ("diverged by step", "gradient norm", "learning rate 0.125", "keeps step"):
        assert words in line
    assert jaxrnn("sample", "--rng-seed", "1").code == 0
