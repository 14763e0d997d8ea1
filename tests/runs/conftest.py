"""Small states, and runs with checkpoints of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config, SampleConfig
from jaxrnn.data.vocabulary import build_vocabulary
from jaxrnn.runs.checkpoint import fit, load_leaves, save_new
from jaxrnn.runs.directory import new_record
from jaxrnn.runs.saved_steps import SavedStep, Which

CONFIG = Config(sample=SampleConfig(prompt='"é\n'))
VOCABULARY = build_vocabulary('to be\n"é\\')
RECORD = new_record("play.txt", Path("play.txt"), "0" * 64, VOCABULARY)


def state_of(number: int) -> dict[str, Any]:
    return {"params": jnp.full((3,), number, jnp.float32)}


def state_at(step: int) -> dict[str, Any]:
    return {"step": np.array(step), "params": np.full((64, 64), step, np.float32)}


def load_state(run: Path, abstract: Any, which: Which = "last") -> Any:
    return fit(run, load_leaves(run, which), abstract)


def step_read(run: Path, which: Which = "last") -> int:
    """Load a state, check that it is complete, and return its step."""
    state = load_state(run, state_at(0), which)
    np.testing.assert_array_equal(state["params"], np.full((64, 64), state["step"], np.float32))
    return int(state["step"])


def known(saved: SavedStep | None) -> tuple[int, float | None] | None:
    return saved and saved[:2]


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[Any], Path]:
    """A function that creates a run with a checkpoint of step 0."""

    def make(state: Any) -> Path:
        (tmp_path / "run" / "steps").mkdir(parents=True)
        save_new(tmp_path / "run" / "steps", state, SavedStep(0))
        return tmp_path / "run"

    return make


@pytest.fixture
def run(make_run: Callable[[Any], Path]) -> Path:
    """A run with a checkpoint of step 0."""
    return make_run(state_at(0))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work
