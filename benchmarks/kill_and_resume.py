"""Kill a training run at random moments, resume it each time, and compare the result bitwise.

    python -m benchmarks.kill_and_resume --rounds 100

One run is never stopped. The other is killed (SIGKILL) again and again: most often a random time after its first
new checkpoint, else after it has opened the run, or after the process began, perhaps before there is a run at all. In
the end the two must
agree in the SHA-256 of every array of the training state, in the rows of metrics.csv (but for the times in them), and
in samples.txt. Exit code 0 if they do, 1 if not.
"""

import argparse
import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.directory import METRICS, SAMPLES, STEPS
from jaxrnn.runs.lock import LOCK
from jaxrnn.runs.saved_steps import step_numbers

_CONFIG = """
[corpus]
text = "text.txt"

[model]
layers = [
  { type = "embedding", size = 16 },
  { type = "dropout", rate = 0.1 },
  { type = "rnn", size = 16 },
  { type = "dense" },
]

[train]
steps = %d
batch_size = 8
seq_len = 16
schedule = "plateau"
plateau_patience = 2
eval_every = 60
save_every = 25
sample_every = 150
num_devices = %d

[sample]
length = 40
"""
_WORDS = [
    "light",
    "through",
    "yonder",
    "window",
    "breaks",
    "soft",
    "what",
    "is",
    "the",
    "east",
    "and",
    "juliet",
]
_TIMES = ("tokens_per_second", "seconds")


class Outcome(NamedTuple):
    """All that two runs must agree in."""

    arrays: str  # SHA-256 over the last state's arrays
    metrics: list[dict[str, str]]
    samples: str


def main() -> int:
    """Runs the trial and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="how often to kill (default 20)")
    parser.add_argument("--steps", type=int, default=0, help="length of the training (default: 200 a round)")
    parser.add_argument("--devices", type=int, default=1, help="CPU devices that share the batch (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _try(
            Path(folder),
            options.rounds,
            options.steps or 200 * options.rounds,
            options.devices,
            options.seed,
        )


def _try(folder: Path, rounds: int, steps: int, devices: int, seed: int) -> int:
    rng = random.Random(seed)
    (folder / "text.txt").write_text(" ".join(rng.choices(_WORDS, k=3000)), encoding="utf-8")
    (folder / "trial.toml").write_text(_CONFIG % (steps, devices), encoding="utf-8")
    begun = time.monotonic()
    _finish(folder, "whole")
    expected = _outcome(folder / "whole", steps)
    print(f"never stopped: {steps} steps in {time.monotonic() - begun:.1f} s, {expected.arrays}")
    kills = 0
    for number in range(1, rounds + 1):
        # Killed before its first save, a process leaves nothing behind: so it is not done too often.
        since, longest = rng.choices(
            [("its first save", 1.0), ("it opened the run", 3.0), ("it began", 4.0)], [8, 1, 1]
        )[0]
        seconds = rng.uniform(0, longest)
        killed = _kill(folder, "killed", since, seconds)
        kills += killed
        how = f"killed {seconds:.2f} s after {since}" if killed else "ended by itself"
        print(f"round {number:3}: {how}; saved steps {_saved(folder / 'killed')}", flush=True)
    _finish(folder, "killed")
    found = _outcome(folder / "killed", steps)
    print(f"killed {kills} times: {steps} steps, {found.arrays}")
    for name, a, b in zip(Outcome._fields, expected, found, strict=True):
        print(f"{name}: {'the same' if a == b else 'DIFFERENT'}")
    return 0 if expected == found else 1


def _command(run: str) -> list[str]:
    return [sys.executable, "-m", "jaxrnn_cli", "pretrain", "trial.toml", "--to", f"./{run}", "--resume"]


def _finish(folder: Path, run: str) -> None:
    subprocess.run([*_command(run), "--quiet"], cwd=folder, check=True)


def _saved(run: Path) -> list[int]:
    return step_numbers(run / STEPS) if (run / STEPS).is_dir() else []


def _kill(folder: Path, run: str, since: str, seconds: float) -> bool:
    """Starts or resumes the run and kills it so long after something; False if it had come to its end before."""
    saved = _saved(folder / run)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            _command(run), cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        moments: dict[str, Callable[[], bool]] = {
            "it began": lambda: True,
            "it opened the run": lambda: _is_written_by(folder / run, process.pid),
            "its first save": lambda: _saved(folder / run)[-1:] > (saved[-1:] or [0]),
        }
        reached = moments[since]
        while process.poll() is None and not reached():
            time.sleep(0.005)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        output.seek(0)
        if status not in (0, -signal.SIGKILL):
            raise SystemExit(output.read().decode(errors="replace"))
        return status != 0


def _is_written_by(run: Path, process: int) -> bool:
    try:
        return (run / LOCK).read_text(encoding="utf-8").startswith(f"process {process} ")
    except OSError:
        return False


def _outcome(run: Path, steps: int) -> Outcome:
    hashes = hashlib.sha256()
    for name, leaf in sorted(load_leaves(run, steps).items()):
        hashes.update(f"{name} {leaf.dtype}{leaf.shape}\n".encode() + leaf.tobytes())
    with (run / METRICS).open(encoding="utf-8", newline="") as file:
        rows = [
            {key: value for key, value in row.items() if key not in _TIMES} for row in csv.DictReader(file)
        ]
    samples = (run / SAMPLES).read_text(encoding="utf-8")
    return Outcome(hashes.hexdigest(), rows, samples)


if __name__ == "__main__":
    sys.exit(main())
