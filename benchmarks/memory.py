"""memory: peak memory of a training step.

Peak resident memory of a fresh process that does three of the steps that train_step times, and how much of it came
after its libraries were imported. And the residuals: the bytes that the model's forward pass keeps for its backward
pass beyond parameters and inputs, as they are traced, with our own rules and with JAX's differentiation of the same
functions.
"""

from typing import Any

from benchmarks.cases import Case
from benchmarks.peers import AUTODIFF, OURS, Peer
from benchmarks.report import number, table
from benchmarks.settings import Settings
from benchmarks.workers import Worker, WorkerError

_STEPS = 3


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a case and peer; prints a table a case."""
    rows: list[dict[str, Any]] = []
    for case in settings.cases:
        found = [_measure(settings.platform, peer, case) for peer in settings.trainers]
        head = ["", "peak MB", "of it after imports", "residuals MB", ""]
        print(table(f"memory {case.name}", head, [_line(row) for row in found]), flush=True)
        rows += found
    return rows


def _measure(platform: str, peer: Peer, case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case.name, "peer": peer.name}
    worker = Worker(platform)
    try:
        worker.start(peer, "train", case)
        worker.run(_STEPS)
        peak, imported = worker.memory()
        row |= {"peak_bytes": peak, "bytes_after_imports": peak - imported}
        if peer in (OURS, AUTODIFF):
            worker.start(peer, "residuals", case)
            row["residual_bytes"] = int(worker.run(1)[1])
    except WorkerError as error:
        row["skipped"] = str(error)
    finally:
        worker.close()
    return row


def _line(row: dict[str, Any]) -> list[str]:
    sizes = [row.get(key) for key in ("peak_bytes", "bytes_after_imports", "residual_bytes")]
    cells = ["-" if size is None else number(size / 1e6) for size in sizes]
    return [row["peer"], *cells, row.get("skipped", "")]
