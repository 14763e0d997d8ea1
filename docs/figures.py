"""The figures of maths.md and tutorial.md: `python docs/figures.py` writes them to docs/pictures/, always the same.

`python docs/figures.py --run RUN [RUN ...]` instead plots gradients and gates of trained models, as in tutorial.md.
Positions are in pixels from the lower left corner. A white card makes a figure readable on light and dark pages.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path as Line

import jaxrnn
from jaxrnn.inspection.activity import GATES, saturation
from jaxrnn.inspection.page import Inspection, inspect

PICTURES = Path(__file__).parent / "pictures"
# Colors for common kinds of color blindness (Okabe and Ito, 2008), green and purple darker for text.
INK, FORWARD, BACKWARD, WEIGHT, LOSS = "#1f2328", "#0072b2", "#d55e00", "#00704f", "#a0447c"
STATE_FILL, GATE_FILL, WEIGHT_FILL, LOSS_FILL = "#e6f1f9", "#fff3cc", "#e0f3ea", "#f8e8f1"
GRAY, CELL_FILL = "#57606a", "#f6f8fa"
STREAMS = "#d6eaf8", "#fde3cf", "#d5f0e3"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "jaxrnn",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "mathtext.fontset": "stix",
}

Point = tuple[float, float]
Nodes = dict[Point, str]  # operations; a fork, where one value has two uses, has no label


def card(width: float, height: float) -> Axes:
    """An empty card, `width` by `height` pixels."""
    axes = Figure((width / 96, height / 96), facecolor="none").add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    box(axes, width / 2, height / 2, width - 2, height - 2, fill="white", edge="#d0d7de", rounding=10)
    return axes


def write(axes: Axes, x: float, y: float, label: str, color: str = INK, size: float = 17, **how: Any) -> None:
    """A label in pixels of height, centered unless `ha` or `va` says otherwise."""
    axes.text(x, y, label, color=color, fontsize=0.75 * size, **{"ha": "center", "va": "center", **how})


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    *labels: str,
    fill: str = CELL_FILL,
    edge: str = INK,
    rounding: float = 6,
    size: float = 17,
) -> None:
    """A rectangle around (x, y) with lines of text."""
    corner, style = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={rounding}"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, style, facecolor=fill, edgecolor=edge, linewidth=0.9)
    )
    for row, label in enumerate(labels):
        write(axes, x, y + (len(labels) / 2 - 0.5 - row) * 1.35 * size, label, size=size)


def circle(axes: Axes, x: float, y: float, label: str, radius: float = 12, fill: str = "white") -> None:
    """A node: an operation, a state or a loss."""
    axes.add_patch(Circle((x, y), radius, facecolor=fill, edgecolor=INK, linewidth=0.9))
    write(axes, x, y, label)


def dot(axes: Axes, x: float, y: float, color: str) -> None:
    """A fork: one value with two uses."""
    axes.add_patch(Circle((x, y), 3.5, color=color, linewidth=0))


def arrow(axes: Axes, color: str, *points: Point, head: bool = True, width: float = 1.5) -> None:
    """Straight pieces from point to point, with a head at the last."""
    style = "-|>,head_length=4.5,head_width=2.6" if head else "-"
    axes.add_patch(
        FancyArrowPatch(
            path=Line(points),
            arrowstyle=style,
            color=color,
            linewidth=width,
            mutation_scale=1.4,
            capstyle="butt",
        )
    )


def wire(axes: Axes, color: str, nodes: Nodes, *points: Point) -> None:
    """An arrow between nodes: up to the border of an operation; through a fork, which gets no head."""
    ends = []
    for (x, y), (to_x, to_y) in ((points[0], points[1]), (points[-1], points[-2])):
        gap = 12 / (abs(to_x - x) + abs(to_y - y)) if nodes.get((x, y)) else 0
        ends.append((x + gap * (to_x - x), y + gap * (to_y - y)))
    arrow(axes, color, ends[0], *points[1:-1], ends[1], head=nodes.get(points[-1]) != "")


def place(axes: Axes, color: str, nodes: Nodes) -> None:
    """Draw the operations and the forks."""
    for (x, y), label in nodes.items():
        circle(axes, x, y, label) if label else dot(axes, x, y, color)


def legend(axes: Axes, y: float, *entries: tuple[str, str, float]) -> None:
    """Short lines with what their colors mean: color, label, x."""
    for color, label, x in entries:
        arrow(axes, color, (x, y), (x + 30, y))
        write(axes, x + 38, y, label, size=14, ha="left")


def unrolled() -> Axes:
    """An RNN over four steps, forward and backward."""
    axes = card(760, 458)
    for t, x in enumerate((160, 310, 460, 610), 1):
        circle(axes, x, 416, rf"$\ell_{t}$", 20, LOSS_FILL)
        box(axes, x, 276, 74, 58, f"$h_{t} =$", rf"$\tanh(z_{t})$", fill=STATE_FILL)
        circle(axes, x, 152, f"$x_{t}$", 20)
        arrow(axes, FORWARD, (x - 11, 305), (x - 11, 398))
        arrow(axes, BACKWARD, (x + 11, 398), (x + 11, 306))
        write(axes, x - 17, 351, "$w$", WEIGHT, ha="right")
        write(axes, x + 18, 351, rf"$\bar h_{t}$", BACKWARD, ha="left")
        arrow(axes, FORWARD, (x - 11, 170), (x - 11, 246))
        arrow(axes, BACKWARD, (x + 11, 247), (x + 11, 170))
        write(axes, x - 17, 208, "$w_x$", WEIGHT, ha="right")
        write(axes, x + 18, 208, f"$dx_{t}$", BACKWARD, ha="left")
    circle(axes, 34, 276, "$h_0$", 20, STATE_FILL)
    for t, (left, right) in enumerate(((54, 123), (197, 273), (347, 423), (497, 573), (647, 738)), 1):
        arrow(axes, FORWARD, (left, 287), (right, 287))
        arrow(axes, BACKWARD, (right, 265), (left, 265))
        write(axes, (left + right) / 2, 300, "$w_h$" if t < 5 else "", WEIGHT)
        write(axes, (left + right) / 2, 245, rf"$dz_{t}\,w_h^\top$" if t < 5 else r"$\hat h_4$", BACKWARD)
    write(axes, 34, 312, "carry", FORWARD, 14)
    write(axes, 696, 312, "returned carry", FORWARD, 14)
    legend(axes, 100, (FORWARD, "forward", 22), (BACKWARD, "backward", 160))
    write(axes, 316, 100, "$w,\\ w_x,\\ w_h$", WEIGHT, ha="left")
    write(axes, 396, 100, "weights, the same at every step", size=14, ha="left")
    write(axes, 22, 66, "A state is used twice and gets two gradients:", size=14, ha="left")
    write(axes, 396, 66, r"$dh_t = \bar h_t + dz_{t+1}\,w_h^\top$", BACKWARD, ha="left")
    write(axes, 22, 34, "A weight is used at every step and gets the sum:", size=14, ha="left")
    write(
        axes,
        396,
        34,
        r"$dw_h = \sum_t\, h_{t-1}^\top\,dz_t, \quad dw_x = \sum_t\, x_t^\top\,dz_t$",
        BACKWARD,
        ha="left",
    )
    return axes


def lstm(*, backward: bool) -> Axes:
    """One step of an LSTM. Backward, the arrows turn, forks become sums and functions their derivatives."""
    axes, color, plus, fork = card(800, 462), *((BACKWARD, "", "$+$") if backward else (FORWARD, "$+$", ""))
    forget, add, write_cell, cell = (165, 400), (352, 400), (352, 300), (640, 400)
    read, hidden = (640, 285), (745, 285)
    nodes: Nodes = {forget: "$*$", add: plus, write_cell: "$*$", cell: fork, read: "$*$", hidden: fork}

    def edge(
        points: Sequence[Point], x: float, y: float, forward: str, turned: str, ha: str = "left"
    ) -> None:
        wire(axes, color, nodes, *(reversed(points) if backward else points))
        write(axes, x, y, turned if backward else forward, color, ha=ha)

    box(axes, 396, 248, 612, 372)
    write(axes, 46, 444, "step $t - 1$", GRAY, 14)
    write(axes, 752, 444, "step $t + 1$", GRAY, 14)
    write(axes, 752, 354, "layer above", GRAY, 14)
    # The path of c: forget, add, read.
    edge([(14, 400), forget], 50, 417, "$c_{t-1}$", "$dc_t * f_t$", "center")
    edge([forget, add], 258, 417, "$f_t * c_{t-1}$", "$dc_t$", "center")
    edge([add, cell], 496, 417, "$c_t$", "$dc_t$", "center")
    edge([cell, (788, 400)], 750, 417, "$c_t$", "$dc_{t+1} * f_{t+1}$", "center")
    edge([cell, (640, 361)], 632, 374, "", r"$dh_t * o_t * (1 - \tanh^2(c_t))$", "right")
    edge([(640, 329), read], 648, 313, r"$\tanh(c_t)$", "$dh_t * o_t$")
    # The path of h.
    edge([read, hidden], 682, 268, "$h_t$", "$dh_t$", "center")
    edge([hidden, (745, 342)], 753, 322, "$h_t$", r"$\bar h_t$")
    edge([hidden, (788, 285)], 756, 262, "$h_t$", r"$dz_{t+1}\,w_h^\top$", "center")
    # The gates.
    edge([(165, 200), forget], 173, 245, "$f_t$", "$df_t = dc_t * c_{t-1}$")
    edge([(290, 200), (290, 300), write_cell], 298, 245, "$i_t$", "$di_t = dc_t * g_t$")
    edge([(415, 200), (415, 300), write_cell], 423, 245, "$g_t$", "$dg_t = dc_t * i_t$")
    edge([write_cell, add], 360, 345, "$i_t * g_t$", "$dc_t$")
    edge([(560, 200), (560, 285), read], 568, 245, "$o_t$", r"$do_t = dh_t * \tanh(c_t)$")
    for x, name, gate in ((165, "forget gate", "f"), (290, "input gate", "i"), (560, "output gate", "o")):
        function = f"${gate}_t * (1 - {gate}_t)$" if backward else rf"$\sigma(z_{gate})$"
        box(axes, x, 175, 108, 50, name, function, fill=GATE_FILL, size=15)
    box(
        axes,
        415,
        175,
        108,
        50,
        "candidate",
        "$1 - g_t^2$" if backward else r"$\tanh(z_g)$",
        fill=GATE_FILL,
        size=15,
    )
    box(axes, 640, 345, 112, 32, r"$1 - \tanh^2(c_t)$" if backward else r"$\tanh$", fill=GATE_FILL)
    for x, gate in ((165, "f"), (290, "i"), (415, "g"), (560, "o")):
        edge([(x, 110), (x, 150)], x + 8, 130, f"$z_{gate}$", f"$dz_{gate}$")
    # Inputs and weights.
    edge([(14, 92), (111, 92)], 48, 109, "$h_{t-1}$", r"$dz_t\,w_h^\top$", "center")
    edge([(200, 14), (200, 74)], 208, 36, "$x_t$", r"$dx_t = dz_t\,w_x^\top$")
    edge([(440, 46), (440, 74)], 0, 0, "", "")
    z, weights = r"$z_t = x_t\,w_x + b + h_{t-1}\,w_h$", r"$w_x,\ w_h,\ b$"
    if backward:
        z = r"$dz_t = [dz_i,\ dz_f,\ dz_g,\ dz_o]$"
        weights = r"$dw_h = \sum_t\, h_{t-1}^\top\,dz_t, \quad dw_x = \sum_t\, x_t^\top\,dz_t, \quad "
        weights += r"db = \sum_t \sum_b\,dz_{t,b}$"
    box(axes, 362, 92, 502, 36, z, fill=STATE_FILL)
    box(axes, 588 if backward else 440, 28, 404 if backward else 108, 36, weights, fill=WEIGHT_FILL)
    place(axes, color, nodes)
    return axes


def gru() -> Axes:
    """One step of a GRU."""
    axes = card(800, 462)
    before, keep, update, reset = (108, 392), (190, 392), (190, 322), (475, 250)
    add, new, hidden = (615, 392), (615, 322), (745, 392)
    nodes: Nodes = {before: "", keep: "$*$", update: "", add: "$+$", new: "$*$", reset: "$*$", hidden: ""}

    def edge(*points: Point) -> None:
        wire(axes, FORWARD, nodes, *points)

    def label(x: float, y: float, name: str, ha: str = "left") -> None:
        write(axes, x, y, name, FORWARD, ha=ha)

    box(axes, 401, 240, 630, 388)
    write(axes, 44, 372, "step $t - 1$", GRAY, 14)
    write(axes, 758, 372, "step $t + 1$", GRAY, 14)
    write(axes, 748, 448, "layer above", GRAY, 14)
    # The path of h: what z keeps, and the candidate.
    edge((14, 392), before)
    edge(before, keep)
    edge(keep, add)
    edge(add, hidden)
    edge(hidden, (788, 392))
    edge(hidden, (745, 436))
    edge((190, 205), update)
    edge(update, keep)
    edge(update, (295, 322))
    edge((365, 322), new)
    edge((615, 275), new)
    edge(new, add)
    label(48, 409, "$h_{t-1}$", "center")
    label(400, 409, "$z_t * h_{t-1}$", "center")
    label(753, 418, "$h_t$")
    label(198, 262, "$z_t$")
    label(623, 294, "$n_t$")
    label(607, 357, "$(1 - z_t) * n_t$", "right")
    # Gates and candidate.
    edge((340, 205), (340, 250), reset)
    edge((475, 195), reset)
    edge(reset, (520, 250))
    label(400, 265, "$r_t$", "center")
    label(483, 217, "$q_t$")
    for x, top, name in (
        (190, 155, r"$p_z,\ a_z$"),
        (340, 155, r"$p_r,\ a_r$"),
        (475, 165, "$a_n$"),
        (660, 225, "$p_n$"),
    ):
        edge((x, 122), (x, top))
        label(x + 8, 139, name)
    box(axes, 190, 180, 132, 50, "update gate", r"$z_t = \sigma(p_z + a_z)$", fill=GATE_FILL, size=15)
    box(axes, 340, 180, 132, 50, "reset gate", r"$r_t = \sigma(p_r + a_r)$", fill=GATE_FILL, size=15)
    box(axes, 475, 180, 110, 30, "$q_t = a_n + b_n$", size=15, fill=STATE_FILL)
    box(axes, 612, 250, 184, 50, "candidate", r"$n_t = \tanh(p_n + r_t * q_t)$", fill=GATE_FILL, size=15)
    box(axes, 330, 322, 70, 30, "$1 - z_t$", fill="white")
    # Inputs and weights.
    edge(before, (108, 106), (146, 106))
    edge((250, 14), (250, 58))
    edge((500, 42), (500, 58))
    label(258, 30, "$x_t$")
    box(axes, 420, 106, 548, 32, r"$a_t = h_{t-1}\,w_h$", fill=STATE_FILL)
    box(axes, 420, 74, 548, 32, r"$p_t = x_t\,w_x + b$", fill=STATE_FILL)
    box(axes, 500, 26, 150, 32, r"$w_x,\ w_h,\ b,\ b_n$", fill=WEIGHT_FILL)
    place(axes, FORWARD, nodes)
    return axes


def scan() -> Axes:
    """An associative scan over eight steps: spans are joined in five rounds."""
    axes = card(760, 356)
    # By round, the spans that it makes, each with the last step of the span to its left that it needs.
    rounds = [
        [(1, 2, 1), (3, 4, 3), (5, 6, 5), (7, 8, 7)],
        [(1, 4, 2), (5, 8, 6)],
        [(1, 8, 4)],
        [(1, 6, 4)],
        [(1, 3, 2), (1, 5, 4), (1, 7, 6)],
    ]
    row = dict.fromkeys(range(1, 9), 0)  # where the newest span that ends at a step stands
    for number, made in enumerate(rounds, 1):
        write(axes, 20, 30 + 60 * number, f"round {number}", GRAY, 14, ha="left")
        for _, last, left in made:
            for step, gap in ((left, 12), (last, 0)):
                arrow(
                    axes,
                    FORWARD,
                    (54 + 82 * step + gap, 43 + 60 * row[step]),
                    (54 + 82 * last - gap, 17 + 60 * number),
                )
        row |= {last: number for _, last, _ in made}
        for first, last, _ in made:
            fill = STATE_FILL if first == 1 else CELL_FILL
            box(axes, 54 + 82 * last, 30 + 60 * number, 62, 26, f"{first}\u2013{last}", fill=fill)
    write(axes, 20, 30, "steps", GRAY, 14, ha="left")
    for step in range(1, 9):
        box(axes, 54 + 82 * step, 30, 62, 26, f"{step}", fill=STATE_FILL if step == 1 else CELL_FILL)
    return axes


def truncation() -> Axes:
    """A corpus in three chunks of four steps: where the state passes and where gradients stop."""
    axes = card(776, 352)
    lefts = (14, 282, 550)
    for left in lefts:
        box(axes, left + 106, 203, 212, 210)
    for chunk, left in enumerate(lefts):
        write(axes, left + 106, 326, f"chunk {chunk + 1}", size=15)
        for step in range(4):
            t, x, start, y = 4 * chunk + step + 1, left + 28 + 50 * step, left + 28, 216 - 32 * step
            circle(axes, x, 276, f"$h_{{{t}}}$", 17, STATE_FILL)
            if t < 12:
                arrow(axes, FORWARD, (x + 17, 276), (x + (33 if step < 3 else 101), 276))
            if step:
                arrow(axes, BACKWARD, (x, y), (start + 4, y))
            for term in range(step + 1):
                dot(axes, start + 50 * term, y, BACKWARD)
            write(axes, x + 9, y, rf"$\ell_{{{t}}}$", LOSS, ha="left")
            if chunk:
                arrow(axes, GRAY, (start - 8, y), (left - 22, y), head=False)
                write(axes, left - 28, y, r"$\times$", GRAY, 20)
        if chunk:
            write(axes, left - 28, 290, "carry", FORWARD, 14)
    legend(axes, 72, (FORWARD, "forward: the state passes from chunk to chunk", 22))
    legend(
        axes,
        46,
        (
            BACKWARD,
            "backward: each loss reaches back to the start of its chunk, one term of $dw$ per dot",
            22,
        ),
    )
    write(axes, 37, 20, r"$\times$", GRAY, 20)
    write(
        axes, 60, 20, "no gradient crosses the start of a chunk: these terms are dropped", size=14, ha="left"
    )
    return axes


def batch() -> Axes:
    """From a corpus to the inputs and targets of two updates."""
    axes, text = card(760, 440), "to be, or not to be, that i"

    def token(x: float, y: float, n: int) -> None:
        box(axes, x, y, 26, 26, text[n].replace(" ", "␣"), fill=STREAMS[n // 9], rounding=0, size=15)

    write(axes, 22, 422, "corpus, as tokens", size=14, ha="left")
    write(axes, 22, 346, "$B = 3$ streams", size=14, ha="left")
    write(axes, 352, 356, "inputs  $[T, B]$", size=14)
    write(axes, 532, 356, "targets  $[T, B]$", size=14)
    for chunk, y in enumerate((268, 94)):
        top = 322 - 104 * chunk
        axes.add_patch(
            Polygon(
                [(134, top), (134, top - 130), (232, y - 72), (232, y + 72)], color="#eaeef2", linewidth=0
            )
        )
        box(axes, 486, y, 508, 144)
        write(axes, 714, y, f"chunk {chunk + 1}", size=15, ha="right")
        for step in range(4):
            write(axes, 296, y + 45 - 30 * step, f"$t = {step + 1}$", GRAY, 14, ha="right")
            for stream in range(3):
                n = 9 * stream + 4 * chunk + step
                token(324 + 30 * stream, y + 45 - 30 * step, n)
                token(502 + 30 * stream, y + 45 - 30 * step, n + 1)
        write(axes, 443, y + 12, "predicts", FORWARD, 14)
        arrow(axes, FORWARD, (408, y), (478, y))
    arrow(axes, FORWARD, (443, 196), (443, 166))
    write(axes, 452, 181, "carry: the state of each stream", FORWARD, 14, ha="left")
    for n in range(27):
        token(35 + 26 * n, 394, n)
        token(60 + 30 * (n // 9), 309 - 26 * (n % 9), n)
    arrow(axes, GRAY, (30, 322), (30, 88))
    write(axes, 22, 205, "time", GRAY, 14, rotation=90)
    return axes


FIGURES: dict[str, Callable[[], Axes]] = {
    "unrolled": unrolled,
    "lstm_forward": partial(lstm, backward=False),
    "lstm_backward": partial(lstm, backward=True),
    "gru": gru,
    "scan": scan,
    "truncation": truncation,
    "batch": batch,
}


def look_back(inspection: Inspection) -> Axes:
    """How much the loss at a character depends on the states before it, by run."""
    axes = Figure((7.6, 4.2), layout="constrained").subplots()
    for color, (run, curves) in zip(
        (FORWARD, BACKWARD, WEIGHT, LOSS), inspection.curves.items(), strict=False
    ):
        for curve in curves:
            label = f"{run}, with respect to ${curve.field}$"
            steps = range(1, curve.norms.size + 1)
            axes.semilogy(steps, curve.norms, "-" if curve.field == "h" else "--", color=color, label=label)
    axes.set(xlabel="characters back", ylabel="gradient norm (nats per standard deviation)")
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def gates(inspection: Inspection) -> Axes:
    """How often each unit's gates are open (over 0.9) and shut (under 0.1)."""
    tracks = [track for track in inspection.activity.tracks if track.kind in GATES]
    figure = Figure((7.6, 2.9), layout="constrained")
    for column, track in enumerate(tracks, 1):
        axes = figure.add_subplot(1, len(tracks), column)
        shut, opened = saturation(track.values)
        axes.plot((0, 100), (100, 0), color=GRAY, linewidth=0.6)
        axes.plot(100 * opened, 100 * shut, ".", color=FORWARD, alpha=0.5)
        ticks = range(0, 101, 25)
        axes.set(title=f"{GATES[track.kind]} ${track.kind}_t$", xticks=ticks, yticks=ticks, aspect="equal")
        axes.set_xlabel("open: over 0.9 (% of characters)")
    figure.axes[0].set_ylabel("shut: under 0.1 (% of characters)")
    return axes


def draw(figures: Mapping[str, Callable[[], Axes]], folder: Path = PICTURES) -> None:
    """Write each figure as an SVG file."""
    with matplotlib.rc_context(STYLE):
        for name, make in figures.items():
            figure = make().get_figure(root=True)
            assert figure is not None
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def main() -> None:
    """Draw the figures, or what runs do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run",
        nargs="+",
        type=Path,
        help="draw look_back.svg and gates.svg of the first of these runs, compared with the others",
    )
    runs = parser.parse_args().run
    if not runs:
        return draw(FIGURES)
    model, *others = (jaxrnn.load(run)._replace(name=run.name) for run in runs)
    inspection = inspect(model, jaxrnn.workflows.validation_text(runs[0], 2000)[:2000], others)
    return draw({"look_back": partial(look_back, inspection), "gates": partial(gates, inspection)})


if __name__ == "__main__":
    main()
