"""The protocol of the workers, and errors that do not end a measurement."""

from pathlib import Path

import pytest

from benchmarks.cases import TINY
from benchmarks.peers import AUTODIFF, OURS, TORCH, Peer
from benchmarks.workers import Worker, WorkerError, measure


def test_a_missing_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = measure([TORCH], "train", [TINY], platform="cpu", rounds=1)
    assert found.skipped == "torch is not installed"
    assert found.seconds == []


def test_a_failure_is_reported_and_the_worker_continues() -> None:
    worker = Worker("cpu")
    try:
        with pytest.raises(WorkerError, match=r"has no attribute 'fly'"):
            worker.start(Peer("gemm", "gemm", {"size": 8}), "fly", TINY)
        worker.start(Peer("gemm", "gemm", {"size": 8}), "train", TINY)
        seconds, value = worker.run(2)
        assert seconds > 0
        assert value == value  # not NaN
        peak, imported = worker.memory()
        assert peak >= imported > 10e6
    finally:
        worker.close()


def test_a_worker_that_dies_is_reported() -> None:
    worker = Worker("cpu")
    worker._process.kill()
    try:
        with pytest.raises(WorkerError, match="the worker ended"):
            worker.start(OURS, "train", TINY)
    finally:
        worker.close()


def test_without_custom_rules_jax_chooses_the_residuals() -> None:
    kept = []
    for peer in (OURS, AUTODIFF):
        worker = Worker("cpu")
        try:
            worker.start(peer, "residuals", TINY)
            kept.append(worker.run(1)[1])
        finally:
            worker.close()
    ours, autodiff = kept
    assert 0 < ours != autodiff > 0
