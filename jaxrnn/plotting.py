"""The loss curve of a run, drawn from its metrics.csv. Needs matplotlib, which the extra `[plot]` brings."""

import csv
import math
from pathlib import Path
from typing import Any, NamedTuple


class Curve(NamedTuple):
    """Losses by step, in nats per character; NaN where there is none."""

    steps: list[int]
    train: list[float]
    held_out: list[float]


def read_losses(metrics: Path) -> Curve:
    """Returns the losses of every row of a metrics.csv; a row cut off by a killed process is left out.

    Raises:
        OSError: The file can't be read.
    """
    curve = Curve([], [], [])
    with metrics.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                step = int(row["step"])
                train, held_out = (
                    float(row[name] or math.nan) if row[name] is not None else math.nan
                    for name in ("train_loss", "val_loss")
                )
            except (KeyError, TypeError, ValueError):
                continue
            curve.steps.append(step)
            curve.train.append(train)
            curve.held_out.append(held_out)
    return curve


def plot_losses(metrics: Path, picture: Path) -> None:
    """Draws the losses of a metrics.csv, in nats and in bits per character, into a PNG file.

    The file is replaced in one step: whoever looks at it finds the old curve or the new one. Before the first
    evaluation there is nothing to draw, and no file.

    Raises:
        ImportError: There is no matplotlib.
        OSError: A file can't be read or written.
    """
    # No pyplot: it would look for a window system, and keep global state in the caller's program.
    from matplotlib.figure import Figure

    curve = read_losses(metrics)
    if not curve.steps:
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="nats per character", title=metrics.parent.name)
    axes.plot(curve.steps, curve.train, marker=".", label="training")
    if not all(map(math.isnan, curve.held_out)):
        axes.plot(curve.steps, curve.held_out, marker=".", label="held out")
    bits = axes.secondary_yaxis("right", functions=(_nats_to_bits, _bits_to_nats))
    bits.set_ylabel("bits per character")
    axes.grid(alpha=0.3)
    axes.legend()
    beside = picture.with_name(f".{picture.name}.new")
    figure.savefig(beside, format="png")  # drawn by Agg, which needs no screen
    beside.replace(picture)


def _nats_to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _bits_to_nats(bits: Any) -> Any:
    return bits * math.log(2)
