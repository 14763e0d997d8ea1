"""startup: how long one waits for `jaxrnn --help`, and for the first training step of `jaxrnn pretrain`.

The first step: from the start of the process until the first row of metrics.csv, which follows step 1. Importing,
reading the text, compiling, the run directory with its first checkpoint and the step itself are in it; an evaluation is
not (nothing is held out). With an empty compilation cache, and again with the same one filled.
"""

import itertools
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import JAXRNN, environment, seconds_of, watch
from benchmarks.report import spread, table
from benchmarks.settings import Settings

_CONFIG = Path(__file__).parent.parent / "configs" / "shakespeare.toml"
_WORDS = ("light ", "through ", "yonder ", "window ", "breaks ", "soft ", "what ", "juliet\n")


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a command; prints a table."""
    seconds: dict[str, list[float]] = {
        "--help": [],
        "first step, cache empty": [],
        "first step, cache filled": [],
    }
    for _ in range(settings.rounds):
        seconds["--help"].append(seconds_of([*JAXRNN, "--help"], environment(settings.platform)))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "text.txt").write_text("".join(itertools.islice(itertools.cycle(_WORDS), 40_000)))
            seconds["first step, cache empty"].append(_first_step(settings.platform, folder, "first"))
            seconds["first step, cache filled"].append(_first_step(settings.platform, folder, "second"))
    rows: list[dict[str, Any]] = [
        {"command": name, "median_seconds": statistics.median(values), "seconds": values}
        for name, values in seconds.items()
    ]
    lines = [[row["command"], f"{row['median_seconds']:.2f}", spread(row["seconds"]), ""] for row in rows]
    print(table("startup", ["", "s", "min..max", ""], lines), flush=True)
    return rows


def _first_step(platform: str, folder: Path, name: str) -> float:
    overrides = [f"corpus.text={folder / 'text.txt'}", "corpus.validation_fraction=0", "train.eval_every=1"]
    command = [*JAXRNN, "pretrain", str(_CONFIG), "--to", str(folder / name), "--quiet"]
    for override in overrides:
        command += ["--set", override]
    env = environment(platform, cache=folder / "cache")
    rows, _ = watch(command, env, folder / name / "metrics.csv", lambda _row: True)
    return rows[0][0]
