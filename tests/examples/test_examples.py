"""The programs in `examples/` run, print the output in their docstrings, and reach the claimed results."""

import re
import runpy
from pathlib import Path

import jax
import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run(name: str) -> dict[str, float]:
    with jax.numpy_dtype_promotion("standard"):  # as in a user's session
        result: dict[str, float] = runpy.run_path(str(EXAMPLES / name))["main"]()
        return result


def shown(name: str) -> str:
    """The output at the end of a docstring without its numbers, whose last digits depend on the machine."""
    docstring = (EXAMPLES / name).read_text(encoding="utf-8").split('"""')[1]
    return numberless(docstring.rstrip().rpartition("\n\n")[2])


def numberless(output: str) -> str:
    return re.sub(r"[\d.]+", "", " ".join(output.split()))


def test_an_lstm_forecasts_better_than_models_without_a_state(capsys: pytest.CaptureFixture[str]) -> None:
    errors = run("unseen_predator.py")
    assert errors["LSTM"] < 0.2 * errors["persistence"]
    assert errors["LSTM"] < 0.6 * errors["linear, 10 counts"]
    assert errors["LSTM"] > 0.02  # the error of the counts themselves
    assert numberless(capsys.readouterr().out) == shown("unseen_predator.py")


def test_chrono_initialization_lets_a_gru_learn_the_order(capsys: pytest.CaptureFixture[str]) -> None:
    right = run("temporal_order.py")
    assert right["chrono init"] > 0.99
    assert right["default init"] < 0.75
    assert numberless(capsys.readouterr().out) == shown("temporal_order.py")


def test_every_example_is_tested_here() -> None:
    tested = re.findall(r'run\("(\w+\.py)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(tested) == sorted(path.name for path in EXAMPLES.glob("*.py"))
