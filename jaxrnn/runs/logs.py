"""The logs of a run, metrics.csv and samples.txt, taken back to where they were at a checkpoint.

They only ever grow, and a checkpoint remembers how long they were. So going back to it is cutting them to that
length: what was written later will be written again.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from jaxrnn.disk import cut, reason
from jaxrnn.errors import SaveError
from jaxrnn.runs.directory import METRICS, SAMPLES


def log_lengths(run: Path) -> dict[str, int]:
    """Returns how many bytes the logs of a run have, those that grow with it: metrics.csv and samples.txt."""
    return {path.name: path.lstat().st_size for path in (run / METRICS, run / SAMPLES) if path.exists()}


def cut_logs(run: Path, lengths: Mapping[str, int]) -> None:
    """Takes off the logs what was written after a checkpoint at which they had these lengths.

    Raises:
        SaveError: a log can't be written.
    """
    for name, length in lengths.items():
        if name not in (METRICS, SAMPLES):
            continue
        try:
            cut(run / name, length)
        except FileNotFoundError:  # nothing to cut
            continue
        except OSError as error:
            raise SaveError(f"{run / name}: can't be written: {reason(error)}") from error


def seconds_trained(run: Path) -> float:
    """Returns how long a run trained up to the last row of its metrics; 0 where that can't be told."""
    try:
        with (run / METRICS).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return max(0.0, float(rows[-1]["seconds"]))
    except (OSError, ValueError, LookupError, TypeError, csv.Error):
        return 0.0
