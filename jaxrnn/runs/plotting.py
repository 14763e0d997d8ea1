"""Plots of the metrics.csv of one run or of several runs. Needs matplotlib, the extra `[plot]`."""

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

# The x axes: the column of metrics.csv, and the axis label.
AXES = {
    "steps": ("step", "step"),
    "tokens": ("tokens", "tokens read"),
    "seconds": ("seconds", "seconds"),
}
_MARKERS = "osv^DP<>X*"
_MEAN = "training: mean since the point before"


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Draw text without math markup, and suppress matplotlib's warnings (fonts, cache folder)."""
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
    """Plot the losses of a metrics.csv, in nats and bits per token, to a PNG file.

    The file is replaced atomically. Without rows, nothing is written.

    Args:
        metrics: Path of the metrics.csv.
        picture: Path of the PNG file.
        token: The unit of the y axis: "character" or "byte".

    Raises:
        ImportError: matplotlib is not installed.
        OSError: A file can't be read or written.
    """
    # Not pyplot, which looks for a window system and keeps global state.
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
    axes.legend(title=_MEAN, title_fontsize="small")
    _save(figure, picture, "png")


@_drawing()
def plot_runs(
    runs: Sequence[tuple[str, Metrics]], picture: Path, over: str = "steps", token: str = "character"
) -> None:
    """Plot the losses, the learning rate and the gradient norm of several runs to one PNG or SVG file.

    Each run has one color and one marker; its training loss is dashed, its validation loss solid. The file is replaced
    atomically.

    Args:
        runs: Names and metrics.
        picture: Path of the image; `.svg` selects SVG, any other suffix PNG.
        over: The x axis, a key of `AXES`.
        token: The unit of the losses: "character" or "byte".

    Raises:
        ImportError: matplotlib is not installed.
        OSError: The file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    losses, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1))
    for index, (name, columns) in enumerate(runs):
        xs = columns[AXES[over][0]]
        name = (
            f" {name}" if name.startswith("_") else name
        )  # matplotlib's legend skips labels that begin with _
        curves = (
            (losses, "train_loss", "--", f"{name}, training"),
            (losses, "val_loss", "-", f"{name}, validation"),
            (rate, "learning_rate", "-", ""),
            (norm, "grad_norm", "-", ""),
        )
        for axes, column, line, label in curves:
            has_value = ~np.isnan(columns[column])
            if has_value.any():
                look = _look(index, int(has_value.sum()))
                axes.plot(xs[has_value], columns[column][has_value], linestyle=line, label=label, **look)
    losses.set_ylabel(f"nats per {token}")
    _show_bits(losses, token)
    losses.legend(fontsize="small", title=_MEAN, title_fontsize="small")
    rate.set_ylabel("learning rate")
    norm.set_ylabel("gradient norm")
    norm.set_xlabel(AXES[over][1].replace("token", token))
    for axes in (losses, rate, norm):
        axes.grid(alpha=0.3)
    _save(figure, picture, "svg" if picture.suffix.lower() == ".svg" else "png")


def _look(run: int, count: int) -> dict[str, Any]:
    """Return the color and the marker of a run; both differ, for readers and printers without colors.

    A curve of many points has about 10 markers; one of few points has all, because a line of one point is invisible.
    """
    every = None if count < 40 else 0.1
    color, marker = f"C{run % 10}", _MARKERS[run % len(_MARKERS)]
    return {"color": color, "marker": marker, "markersize": 5, "markevery": every}


def _show_bits(axes: "Axes", token: str) -> None:
    bits = axes.secondary_yaxis("right", functions=(_nats_to_bits, _bits_to_nats))
    bits.set_ylabel(f"bits per {token}")


def _save(figure: "Figure", picture: Path, kind: str) -> None:
    with replacing(picture) as new:
        figure.savefig(new, format=kind)


def _nats_to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _bits_to_nats(bits: Any) -> Any:
    return bits * math.log(2)
