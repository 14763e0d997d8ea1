"""`jaxrnn plot`: the curves of runs in one picture."""

from pathlib import Path
from typing import Annotated

import typer

from jaxrnn_cli import console
from jaxrnn_cli.names import complete_run, name_runs
from jaxrnn_cli.output import check_output

_AXES = ("steps", "tokens", "seconds")


def plot(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run directories, or names of runs in checkpoints/.",
            autocompletion=complete_run,
        ),
    ],
    over: Annotated[
        str,
        typer.Option(
            metavar="|".join(_AXES), help="What to draw the curves over.", autocompletion=lambda: list(_AXES)
        ),
    ] = "steps",
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The picture: a name that ends in .png or .svg.")
    ] = Path("curves.png"),
) -> None:
    """Draw the losses, learning rates and gradient norms of one or several runs.

    Dashed lines are training losses, solid ones held-out losses. Needs matplotlib: pip install 'jaxrnn[plot]'.
    """
    if over not in _AXES:
        raise typer.BadParameter(f"{over!r} is none of {', '.join(_AXES)}", param_hint="'--over'")
    if output.suffix.lower() not in (".png", ".svg"):
        raise typer.BadParameter(f"{output} ends in neither .png nor .svg", param_hint="'--output'")

    from jaxrnn.disk import reason
    from jaxrnn.errors import CheckpointError, SaveError
    from jaxrnn.runs.directory import METRICS, find_run, read_config
    from jaxrnn.runs.plotting import plot_runs, read_curve

    found = [find_run(run) for run in runs]
    check_output(output)
    tokens = {read_config(run).corpus.tokens for run in found}
    token = tokens.pop()[:-1] if len(tokens) == 1 else "token"
    curves = []
    for run, name in name_runs(found).items():
        try:
            curve = read_curve(run / METRICS)
        except OSError as error:
            raise CheckpointError(f"{run / METRICS}: can't be read: {reason(error)}") from None
        if not curve.steps:
            raise CheckpointError(f"{run / METRICS}: nothing to draw: the run was not evaluated yet")
        curves.append((name, curve))
    try:
        plot_runs(curves, output, over, token)
    except ImportError:
        raise SaveError(
            "there is no matplotlib: pip install 'jaxrnn[plot]', or in a clone -e '.[plot]'"
        ) from None
    except OSError as error:
        raise SaveError(f"{output}: can't be written: {reason(error)}") from error
    console.note(f"drew {output}")
