"""Killed at random moments and resumed each time, a training run ends in the bits of one that was never stopped."""

import subprocess
import sys
from pathlib import Path


def test_killed_six_times_it_ends_in_the_same_bits(users_environment: dict[str, str]) -> None:
    root = Path(__file__).parents[2]
    trial = [sys.executable, "-m", "benchmarks.kill_and_resume", "--rounds", "6", "--steps", "800"]
    done = subprocess.run(trial, cwd=root, env=users_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 6 times" in done.stdout
