"""Measurements and trials that anyone can run.

    python -m benchmarks --help                 jaxrnn beside other implementations: one file a measurement
    python -m benchmarks.kill_and_resume        is a training run that was killed and resumed the same in the end?
    python -m benchmarks.saving                 what a checkpoint costs
    python -m benchmarks.large_corpora          what texts larger than memory cost

The implementations are in `peers/`, a file each; each runs in a worker, a process of its own (`worker.py`), and the
workers have their turns one after the other, round by round (`workers.py`).
"""
