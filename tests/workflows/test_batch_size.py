"""`--resume` with another batch size continues at the same position of the corpus."""

import math
from pathlib import Path
from typing import Any

import pytest

import jaxrnn
from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.workflows import Note

SMALL: dict[str, Any] = {
    "corpus.text": "my.txt",
    "model.layers.0.size": 8,
    "model.layers.1.size": 8,
    "train.steps": 4,
    "train.batch_size": 4,
    "train.seq_len": 8,
    "train.schedule": "constant",
    "train.warmup_steps": 1,
    "train.eval_every": 3,
    "train.sample_every": 0,
    "train.num_devices": 1,
}

pytestmark = pytest.mark.usefixtures("corpus")


def train(to: str, steps: int, **sizes: Any) -> tuple[dict[str, bytes], Any, str]:
    """Train, and return the last checkpoint, the metrics and the notes."""
    notes: list[Any] = []
    values = {**SMALL, "train.steps": steps, **{f"train.{key}": size for key, size in sizes.items()}}
    run = jaxrnn.pretrain("shakespeare", values, to=f"./{to}", resume=True, on_event=notes.append)
    said = "\n".join(note.message for note in notes if isinstance(note, Note))
    return {name: leaf.tobytes() for name, leaf in load_leaves(Path(to), "last").items()}, run.metrics, said


@pytest.mark.parametrize("sizes", [{"batch_size": 8}, {"batch_size": 3, "seq_len": 5, "accumulate_steps": 2}])
def test_a_run_with_changed_sizes_resumes_bitwise_identically(sizes: dict[str, int]) -> None:
    train("a", 4)
    train("b", 4)
    whole, metrics, said = train("a", 9, **sizes)
    assert "continues at the same position of the corpus" in said
    assert "train.batch_size 4 -> " in said
    train("b", 7, **sizes)
    stopped, _, said = train("b", 9, **sizes)
    assert "position of the corpus" not in said
    assert whole == stopped
    now = {"batch_size": 4, "seq_len": 8, "accumulate_steps": 1, **sizes}
    before, after = 4 * 8, math.prod(now.values())
    rows = ["training", "evaluation", "evaluation", "batch size", "evaluation", "evaluation"]
    assert metrics["event"].tolist() == rows
    assert metrics["step"].tolist() == [1, 3, 4, 4, 6, 9]
    assert metrics["tokens"].tolist() == [
        before,
        3 * before,
        4 * before,
        4 * before,
        *(4 * before + n * after for n in (2, 5)),
    ]


def test_a_streamed_corpus_is_read_at_the_same_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", "tokens")
    for run in ("resident", "streamed"):
        train(run, 4)
    resident, _, _ = train("resident", 8, batch_size=6)
    values = {**SMALL, "train.steps": 8, "train.batch_size": 6, "corpus.streamed": "always"}
    jaxrnn.pretrain("shakespeare", values, to="./streamed", resume=True)
    assert {n: leaf.tobytes() for n, leaf in load_leaves(Path("streamed"), "last").items()} == resident
