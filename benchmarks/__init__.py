"""Measurements and trials that anyone can run.

    python -m benchmarks --help                 jaxrnn compared with other implementations, a file per measurement
    python -m benchmarks.kill_and_resume        is a training run that was killed and resumed the same in the end?
    python -m benchmarks.saving                 the cost of a checkpoint
    python -m benchmarks.large_corpora          what texts larger than memory cost

The implementations are in `peers/`, a file each; each runs in a worker, a process of its own (`worker.py`), and the
workers have their turns one after the other, round by round (`workers.py`).
"""
