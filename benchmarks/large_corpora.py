"""What texts larger than memory cost: peak resident memory of each command by the size of the text, and speed.

    python -m benchmarks.large_corpora --sizes 10,100,1000 --seconds 60

Memory. Texts of these many megabytes are generated, and the commands are run on each of them as a user runs them, each
in a process of its own: `pretrain` (writes the ids, then trains for so many seconds, evaluating and saving, until
SIGTERM), `pretrain --resume` (as long), `evaluate`, and `finetune --on-unknown drop` of a model that lacks some of the
characters. Reported is the peak resident memory of the process; for comparison, also of `pretrain` of corpora up to
100 MB in memory, `corpus.streamed=never`.

Speed. Two training runs of the same model in one process take turns, one with the text on the device, one streamed;
with blocks so small that many are read in each turn, which is no less work a character than with large ones.
"""

import argparse
import csv
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe_in_lines, describe_machine
from benchmarks.report import number, spread, table

_CONFIG = """
[model]
layers = [{ type = "embedding", size = %(size)d }, { type = "lstm", size = %(size)d }, { type = "dense" }]

[train]
steps = 1000000
batch_size = 32
seq_len = 64
learning_rate = 3e-3
schedule = "constant"
eval_every = %(every)d
save_every = %(every)d
sample_every = 0
"""
_UNKNOWN = "äöü"  # what only the text has that is fine-tuned on
_IN_MEMORY = 100  # megabytes of text up to which it is also tried without streaming
_SMALL_BLOCK = 1 << 17  # bytes
_TURN = 3.0  # seconds


class Ended(NamedTuple):
    """A command that has come to its end."""

    peak: int  # bytes resident at most
    seconds: float


def main() -> int:
    """Measures and prints two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10,100,1000", help="megabytes of text (default 10,100,1000)")
    parser.add_argument("--seconds", type=float, default=60, help="of each training (default 60)")
    parser.add_argument(
        "--rounds", type=int, default=9, help="turns of each in the comparison of speed (default 9)"
    )
    parser.add_argument("--units", type=int, default=192, help="of the LSTM (default 192)")
    parser.add_argument(
        "--folder", type=Path, help="where the texts go, three times the largest (default: temporary)"
    )
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    print(describe_in_lines(describe_machine()), flush=True)
    with tempfile.TemporaryDirectory(prefix="jaxrnn-", dir=options.folder) as folder:
        measure_memory(Path(folder), sizes, options.seconds, options.units)
        measure_speed(Path(folder), min(100, max(sizes)), options.rounds, options.units)
    return 0


def write_text(path: Path, megabytes: float, seed: int = 0) -> None:
    """Writes words drawn from a few thousand, a megabyte at a time, some with letters of `_UNKNOWN`."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(5000)]
    words += [word + rng.choice(_UNKNOWN) for word in words[:50]] if seed else []
    left = int(megabytes * 1e6)
    with path.open("wb") as file:
        while left > 0:
            line = (" ".join(rng.choices(words, k=200_000)) + ".\n").encode()[:left]
            file.write(line.decode(errors="ignore").encode())
            left -= len(line)


def measure_memory(folder: Path, sizes: list[int], seconds: float, units: int) -> list[dict[str, Any]]:
    """One row a size; prints a table."""
    (folder / "data").mkdir()
    (folder / "large.toml").write_text(_CONFIG % {"size": units, "every": 200}, encoding="utf-8")
    write_text(folder / "warm.txt", 2)
    warm = ["pretrain", "large.toml", "--set", "corpus.text=warm.txt", "--set", "corpus.streamed=always"]
    _run(folder, [*warm, "--to", "./warm"], "./warm", 5)  # compiles, which takes memory of its own
    rows = []
    for size in sizes:
        first, second, run = f"first-{size}.txt", f"second-{size}.txt", f"./run-{size}"
        write_text(folder / first, size)
        write_text(folder / second, size, seed=1)
        pretrain = ["pretrain", "large.toml", "--set", f"corpus.text={first}"]
        streamed = ["--set", "corpus.streamed=always"]
        row: dict[str, Any] = {"megabytes": size}
        row["pretrain"] = _run(folder, [*pretrain, *streamed, "--to", run], run, seconds)
        row["rate"] = _rate(folder / run)
        row["resume"] = _run(folder, [*pretrain, *streamed, "--to", run, "--resume"], run, seconds)
        row["evaluate"] = _run(folder, ["evaluate", "--from", run, "--protocol", "stateful"])
        tune = ["finetune", "large.toml", "--from", run, "--corpus", second, "--on-unknown", "drop"]
        row["finetune"] = _run(folder, [*tune, *streamed, "--to", f"{run}-tuned"], f"{run}-tuned", seconds)
        if size <= _IN_MEMORY:
            never = ["--set", "corpus.streamed=never", "--to", f"{run}-never"]
            row["in memory"] = _run(folder, [*pretrain, *never], f"{run}-never", seconds)
        rows.append(row)
        for path in (first, second):
            if path != "first-100.txt":  # which the comparison of speed reads again
                (folder / path).unlink()
    commands = ["pretrain", "resume", "evaluate", "finetune", "in memory"]
    lines = [
        [
            f"{row['megabytes']:,} MB",
            *[_peak(row.get(command)) for command in commands],
            number(row["rate"]),
            "",
        ]
        for row in rows
    ]
    title = (
        "peak resident memory in MB, by the size of the text; the last but one with all of the text in memory"
    )
    print(table(title, ["", *commands, "char/s", ""], lines), flush=True)
    return rows


def _peak(ended: Ended | None) -> str:
    return "-" if ended is None else number(ended.peak / 1e6)


def _run(folder: Path, arguments: list[str], run: str = "", seconds: float = 0.0) -> Ended:
    """Runs a command to its end; a training run until it has trained for some seconds."""
    begun = time.monotonic()
    log = folder / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "jaxrnn_cli", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        while run and process.poll() is None and not _has_begun(log):
            time.sleep(0.1)
        if run and process.poll() is None:
            time.sleep(seconds)
            process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 128 + signal.SIGTERM):
        raise SystemExit(f"{' '.join(arguments)}: {log.read_text(encoding='utf-8', errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(usage.ru_maxrss * unit, time.monotonic() - begun)


def _has_begun(log: Path) -> bool:
    """Whether a training run has printed that its first step comes next."""
    said = log.read_text(encoding="utf-8", errors="replace")
    return "writing to" in said or "resuming" in said


def _rate(run: Path) -> float:
    """Return characters/s, the median of the evaluations."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rates = [float(row["tokens_per_second"]) for row in csv.DictReader(file) if row["tokens_per_second"]]
    return statistics.median(rates) if rates else 0.0


def measure_speed(folder: Path, megabytes: int, rounds: int, units: int) -> dict[str, list[float]]:
    """Measure characters/s in each turn; print a table."""
    os.environ.setdefault("XDG_CACHE_HOME", str(folder))
    import jax

    from jaxrnn.config import CorpusConfig, parse_config
    from jaxrnn.data import feeding, in_memory, load_corpus
    from jaxrnn.parallel.devices import choose_cpu_devices

    path = folder / f"first-{megabytes}.txt"
    if not path.exists():
        write_text(path, megabytes)
    os.environ["JAXRNN_TOKENS"] = str(folder / "tokens")
    on_disk = load_corpus(CorpusConfig(text=str(path), streamed="always")).tokens
    resident = in_memory(on_disk.vocabulary, on_disk.read())
    found: dict[str, list[float]] = {}
    for kind, stateful in (("streams", "true"), ("windows", "false")):
        settings = _CONFIG % {"size": units, "every": 0}
        config = parse_config(settings, "config", [f"train.stateful={stateful}"])
        if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
            jax.config.update("jax_num_cpu_devices", choose_cpu_devices(config))  # type: ignore[no-untyped-call]
        feeding.BLOCK_BYTES = _SMALL_BLOCK
        sources = {"on the device": resident, "streamed": on_disk}
        runners = {f"{kind}, {where}": _train(config, tokens) for where, tokens in sources.items()}
        rates: dict[str, list[float]] = {name: [] for name in runners}
        for turn in range(rounds + 1):
            for name, runner in runners.items():
                rate = _take_turn(runner)
                if turn:  # the first one compiles
                    rates[name].append(rate)
        found |= rates
    lines = [[name, number(statistics.median(values)), spread(values), ""] for name, values in found.items()]
    print(table("characters per second", ["", "median", "of the turns", ""], lines))
    names = iter(found)
    for on_device, streamed in zip(names, names, strict=True):
        pairs = zip(found[on_device], found[streamed], strict=True)
        ratio = statistics.median(ours / theirs for theirs, ours in pairs)
        print(
            f"{streamed}: {ratio:.3f} of the speed of the text on the device (median of {rounds} pairs of turns)"
        )
    return found


def _train(config: Any, tokens: Any) -> Iterator[Any]:
    """Return the events of a training run without a validation split."""
    from jaxrnn.training.loop import train
    from jaxrnn.training.state import init_state

    return train(config, init_state(config, tokens.vocabulary.size), tokens, tokens.part(0, 0))


def _take_turn(events: Iterator[Any]) -> float:
    """Resume a training run for some seconds; return characters/s."""
    read, before = 0, next(events).tokens
    begun = time.monotonic()
    while time.monotonic() - begun < _TURN:
        read = next(events).tokens - before
    return read / (time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
