"""Killed at random moments and resumed each time, a training run ends in the bits of one that was never stopped."""

import re
import subprocess
import sys
from pathlib import Path


def test_killed_again_and_again_it_ends_in_the_same_bits(users_environment: dict[str, str]) -> None:
    root = Path(__file__).parents[2]
    trial = [sys.executable, "-m", "benchmarks.kill_and_resume", "--rounds", "5", "--steps", "1500"]
    done = subprocess.run(trial, cwd=root, env=users_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = re.search(r"killed (\d) times", done.stdout)
    assert kills is not None and int(kills[1]) >= 3, done.stdout  # a fast machine may reach the end before
