"""`jaxrnn.pretrain`: the same results as the command line."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jaxrnn
from jaxrnn.errors import CheckpointError, ConfigError
from jaxrnn.runs.checkpoint import load_leaves

SMALL: dict[str, Any] = {
    "corpus.text": "my.txt",
    "model.layers.0.size": 8,
    "model.layers.1.size": 8,
    "train.steps": 12,
    "train.batch_size": 4,
    "train.seq_len": 8,
    "train.warmup_steps": 2,
    "train.eval_every": 4,
    "train.save_every": 6,
    "train.sample_every": 12,
    "train.num_devices": 1,
    "sample.length": 10,
}


def arrays(run: str) -> dict[str, bytes]:
    """The arrays of the last checkpoint as bytes."""
    return {name: leaf.tobytes() for name, leaf in load_leaves(Path(run), 12).items()}


def test_five_lines_of_a_notebook(corpus: str) -> None:
    assert corpus == "my.txt"
    run = jaxrnn.pretrain("shakespeare", SMALL)
    steps, losses = run.curve("val_loss")  # arrays to plot
    text = jaxrnn.generate(run.model(), "to be", length=20, rng_seed=1)
    forget_gates = jaxrnn.activations(run.model(), f"to be{text}")[1]["f"]
    scores = jaxrnn.score(run.model(), f"to be{text}")
    assert (steps.tolist(), losses.shape) == ([4, 8, 12], (3,))
    assert isinstance(text, str) and len(text) == 20
    assert forget_gates.shape == (25, 8) and ((forget_gates >= 0) & (forget_gates <= 1)).all()
    assert scores.nll.shape == (24,) and scores.perplexity > 1
    assert "".join(map(str, jaxrnn.stream(run.model(), "to be", length=20, rng_seed=1))) == text


def test_the_checkpoint_is_bitwise_identical_to_that_of_the_command_line(corpus: str) -> None:
    assert corpus
    events: list[Any] = []
    run = jaxrnn.pretrain("shakespeare", SMALL, to="runs/python", on_event=events.append)
    command = [
        sys.executable,
        "-m",
        "jaxrnn_cli",
        "pretrain",
        "shakespeare",
        "--to",
        "runs/command",
        "--quiet",
    ]
    subprocess.run([*command, *(f"--set={key}={value}" for key, value in SMALL.items())], check=True)
    assert run.path == Path("runs/python")
    assert arrays("runs/python") == arrays("runs/command")
    for file in ("config.toml", "vocabulary.json", "samples.txt"):
        assert Path("runs/python", file).read_bytes() == Path("runs/command", file).read_bytes()
    by_command = jaxrnn.runs.read_metrics(Path("runs/command/metrics.csv"))
    for column in ("step", "tokens", "train_loss", "val_loss", "event"):
        np.testing.assert_array_equal(run.metrics[column], by_command[column])
    kinds = {type(event).__name__ for event in events}
    assert kinds == {"Note", "Progress", "Logged", "Evaluated", "Sampled", "Save"}


def test_training_in_memory_is_identical_and_writes_nothing(corpus: str) -> None:
    before = sorted(Path().rglob("*"))
    run = jaxrnn.pretrain("shakespeare", {**SMALL, "corpus.text": Path(corpus)})
    assert sorted(Path().rglob("*")) == before
    on_disk = jaxrnn.pretrain("shakespeare", SMALL, to="runs/x")
    for checkpoint in ("best", "last"):
        ours, theirs = run.model(checkpoint), jaxrnn.load("runs/x", checkpoint)
        jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
    assert (run.path, run.step, run.vocabulary) == (None, 12, on_disk.vocabulary)
    np.testing.assert_array_equal(run.metrics["val_loss"], on_disk.metrics["val_loss"])
    assert repr(run).startswith("Run(in memory, step 12, validation loss ")


def test_a_run_is_stopped_and_resumed(corpus: str) -> None:
    assert corpus
    whole = jaxrnn.pretrain("shakespeare", SMALL, to="runs/whole")
    asked = iter([False, False, True, True])
    stopped = jaxrnn.pretrain("shakespeare", SMALL, to="runs/x", should_stop=lambda: next(asked))
    assert 0 < stopped.step < 12
    with pytest.raises(CheckpointError, match="a run exists here"):
        jaxrnn.pretrain("shakespeare", SMALL, to="runs/x")
    resumed = jaxrnn.pretrain("shakespeare", SMALL, to="runs/x", resume=True)
    assert resumed.step == 12
    assert arrays("runs/x") == arrays("runs/whole")
    np.testing.assert_array_equal(resumed.metrics["val_loss"], whole.metrics["val_loss"])


def test_a_divergence_in_memory_rolls_back_to_the_last_state(corpus: str) -> None:
    assert corpus
    notes: list[str] = []

    def note(event: Any) -> None:
        if type(event).__name__ == "Note":
            notes.append(event.message)

    absurd = {"train.learning_rate": 100.0, "train.max_grad_norm": 0.0, "train.weight_decay": 100.0}
    with pytest.raises(jaxrnn.errors.DivergenceError, match="training diverged by step"):
        jaxrnn.pretrain("shakespeare", {**SMALL, **absurd, "train.steps": 300}, on_event=note)
    assert any("back to step" in message for message in notes)


def test_a_run_moved_during_training_is_not_written_any_more(corpus: str) -> None:
    assert corpus

    def move(event: Any) -> None:
        if isinstance(event, jaxrnn.training.Save) and event.step == 6:
            while "6" not in [path.name for path in Path("runs/x/steps").iterdir()]:
                time.sleep(0.01)  # wait for the save that has begun
            Path("runs/x").rename("runs/y")

    with pytest.raises(jaxrnn.errors.SaveError, match="runs/x: was moved, replaced or deleted") as error:
        jaxrnn.pretrain("shakespeare", SMALL, to="runs/x", on_event=move)
    assert "--resume" not in str(error.value)
    assert [path.name for path in Path("runs").iterdir()] == ["y"]
    assert jaxrnn.load("runs/y").vocabulary


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.lr": 1}, "train.lr = 1: unknown key; did you mean train.learning_rate"),
        ({"train.steps": "many"}, "must be an integer"),
        ({"model.layers.7.size": 1}, "no such layer; the 3 layers are counted from 0"),
    ],
)
def test_an_invalid_override_is_refused_by_its_key(
    corpus: str, overrides: dict[str, Any], message: str
) -> None:
    assert corpus
    with pytest.raises(ConfigError, match=message):
        jaxrnn.pretrain("shakespeare", overrides)
