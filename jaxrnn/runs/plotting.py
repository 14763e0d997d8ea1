"""Curves of a run, or of several in one picture, from their metrics.csv. Needs matplotlib, the extra `[plot]`."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrnn.disk import replacing
from jaxrnn.runs.metrics import Metrics, curve, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What curves can be drawn over: the column of metrics.csv, and what an axis calls it.
AXES = {
    "steps": ("step", "step"),
    "tokens": ("tokens", "tokens read"),
    "seconds": ("seconds", "seconds"),
}


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Draw names literally, and keep matplotlib's warnings (fonts, its cache folder) off the terminal."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        import matplotlib as mpl

        with warnings.catch_warnings(), mpl.rc_context({"text.parse_math": False}):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@_drawing()
def plot_losses(metrics: Path, picture: Path, token: str = "character") -> None:
    """Draws the losses of a metrics.csv, in nats and in bits per character, into a PNG file.

    The file is replaced in one step: whoever looks at it finds the old curve or the new one. Before the first
    evaluation there is nothing to draw, and no file.

    Args:
        metrics: the file.
        picture: where to.
        token: what the losses are per: a "byte" where tokens are bytes.

    Raises:
        ImportError: There is no matplotlib.
        OSError: A file can't be read or written.
    """
    # No pyplot: it would look for a window system, and keep global state in the caller's program.
    from matplotlib.figure import Figure

    columns = read_metrics(metrics)
    if not columns["step"].size:
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel=f"nats per {token}", title=metrics.parent.name)
    axes.plot(*curve(columns, "train_loss"), marker=".", label="training")
    steps, losses = curve(columns, "val_loss")
    if steps.size:
        axes.plot(steps, losses, marker=".", label="validation")
    _show_bits(axes, token)
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, picture, "png")


@_drawing()
def plot_runs(
    runs: Sequence[tuple[str, Metrics]], picture: Path, over: str = "steps", token: str = "character"
) -> None:
    """Draws the losses, the learning rate and the gradient's norm of several runs into one PNG or SVG file.

    A run has one color; its training loss is dashed and its held-out loss is not. The file is replaced in one step.

    Args:
        runs: names and metrics.
        picture: where to; `.svg` makes an SVG, all else a PNG.
        over: a key of `AXES`.
        token: what the losses are per, a "byte" where tokens are bytes.

    Raises:
        ImportError: There is no matplotlib.
        OSError: The file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    losses, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1))
    for index, (name, columns) in enumerate(runs):
        xs, color = columns[AXES[over][0]], f"C{index % 10}"
        name = f" {name}" if name.startswith("_") else name  # which would be left out of the legend
        dots = _dots(len(xs))
        losses.plot(xs, columns["train_loss"], f"{dots}--", color=color, label=f"{name}, training")
        evaluated = ~np.isnan(columns["val_loss"])
        if evaluated.any():
            losses.plot(
                xs[evaluated],
                columns["val_loss"][evaluated],
                f"{_dots(evaluated.sum())}-",
                color=color,
                label=f"{name}, validation",
            )
        for axes, column in ((rate, "learning_rate"), (norm, "grad_norm")):
            axes.plot(xs, columns[column], f"{dots}-", color=color)
    losses.set_ylabel(f"nats per {token}")
    _show_bits(losses, token)
    losses.legend(fontsize="small")
    rate.set_ylabel("learning rate")
    norm.set_ylabel("gradient norm")
    norm.set_xlabel(AXES[over][1].replace("token", token))
    for axes in (losses, rate, norm):
        axes.grid(alpha=0.3)
    _save(figure, picture, "svg" if picture.suffix.lower() == ".svg" else "png")


def _dots(count: int) -> str:
    """A marker at each of a few points; a line of one point would not be seen."""
    return "." if count < 40 else ""


def _show_bits(axes: "Axes", token: str) -> None:
    bits = axes.secondary_yaxis("right", functions=(_nats_to_bits, _bits_to_nats))
    bits.set_ylabel(f"bits per {token}")


def _save(figure: "Figure", picture: Path, kind: str) -> None:
    with replacing(picture) as beside:
        figure.savefig(beside, format=kind)  # drawn without a screen


def _nats_to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _bits_to_nats(bits: Any) -> Any:
    return bits * math.log(2)
