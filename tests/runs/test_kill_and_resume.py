"""A training run killed at random times and resumed is bitwise identical to an uninterrupted one."""

import re
import subprocess
import sys
from pathlib import Path


def test_a_repeatedly_killed_run_is_bitwise_identical(users_environment: dict[str, str]) -> None:
    root = Path(__file__).parents[2]
    trial = [sys.executable, "-m", "benchmarks.kill_and_resume", "--rounds", "5", "--steps", "1500"]
    done = subprocess.run(trial, cwd=root, env=users_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = re.search(r"killed (\d) times", done.stdout)
    assert kills is not None and int(kills[1]) >= 3, done.stdout  # a fast machine may finish before
