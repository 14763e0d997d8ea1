"""Run random commands, valid and invalid, under random faults, and report those that did not end as documented.

    python -m benchmarks.soak --minutes 60 --seed 1

Trouble is a signal at any moment, a full disk, standard streams that are closed, a run with a byte flipped. No command
may show a traceback, hang, end with an exit code that is not documented, lose a checkpoint that was good, or change a
file outside of its folder. Exit code 1 if one did.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from benchmarks.soak.choosing import TRAINING, Command, choose, choose_wrong_corpus
from benchmarks.soak.corpora import RUN, make_corpora, make_run
from benchmarks.soak.judging import files_of, judge, why_lost
from benchmarks.soak.running import prepare, run


class Verdict(NamedTuple):
    """The outcome of a command."""

    command: Command
    outcome: str
    problems: list[str]
    output: str


def main() -> int:
    """Soaks for as long as it is told and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument("--only", type=int, help="run the command of this number alone, and show its output")
    options = parser.parse_args()
    # A shell makes its background jobs ignore Ctrl-C, and the commands would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng = random.Random(options.seed)
    end = time.monotonic() + 60 * options.minutes
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    failed = 0
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        top = Path(name)
        base = top / "base"
        base.mkdir()
        make_corpora(base, rng)
        make_run(base)
        running: set[Future[Verdict]] = set()
        number = 0

        def is_another_due() -> bool:
            return time.monotonic() < end and (options.only is None or number < options.only)

        while running or is_another_due():
            while len(running) < 2 and is_another_due():
                number += 1
                command = (choose_wrong_corpus if rng.random() < 0.1 else choose)(rng, number)
                if options.only in (None, number):
                    running.add(pool.submit(_try, command, top))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for verdict in (future.result() for future in done):
                counts[verdict.command.name, verdict.outcome] += 1
                failed += bool(verdict.problems)
                _report(verdict, options.seed, show=options.only is not None)
    _print_counts(counts)
    return 1 if failed else 0


def _try(command: Command, top: Path) -> Verdict:
    folder = top / f"{command.number}"
    prepare(command, top / "base", folder)
    before = files_of(top / "base")
    result = run(command, folder, top / "cache")
    changed = ", ".join(sorted({name for name, _ in before.items() ^ files_of(top / "base").items()}))
    lost = why_lost(folder / RUN) if command.name in TRAINING and result.code else ""
    shutil.rmtree(folder)
    problems = judge(command, result, lost=lost, changed=changed)
    outcome = "hung" if result.hung else str(result.code)
    return Verdict(command, outcome, problems, result.output)


def _report(verdict: Verdict, seed: int, *, show: bool) -> None:
    command = verdict.command
    for problem in verdict.problems:
        signalled = f" (signal {command.signal} after {command.after:.2f} s)" if command.signal else ""
        again = f"python -m benchmarks.soak --seed {seed} --only {command.number}"
        print(f"FAILED {problem}: {command.line('python')}{signalled}; again: {again}", flush=True)
    if verdict.problems or show:
        print("".join(f"    {line}\n" for line in verdict.output.splitlines()[-20:]), end="", flush=True)


def _print_counts(counts: collections.Counter[tuple[str, str]]) -> None:
    outcomes = sorted({outcome for _, outcome in counts})
    print(f"{'exit code':10}" + "".join(f"{outcome:>6}" for outcome in outcomes))
    for name in sorted({name for name, _ in counts}):
        print(f"{name:10}" + "".join(f"{counts[name, outcome] or '':>6}" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
