"""`jaxrnn plot`: learning curves of runs in one figure."""

from pathlib import Path
from typing import Annotated

import typer

import jaxrnn
from jaxrnn.disk import reason, user_path, writing
from jaxrnn.errors import CheckpointError, SaveError
from jaxrnn_cli.display import console
from jaxrnn_cli.options.choices import choice
from jaxrnn_cli.options.names import complete_run, name_runs
from jaxrnn_cli.options.output import OverwriteFile, check_output

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
        choice("--over", _AXES, help="The x axis."),
    ] = "steps",
    output: Annotated[
        Path,
        typer.Option(metavar="FILE", parser=user_path, help="The output file, .png or .svg."),
    ] = Path("curves.png"),
    overwrite: OverwriteFile = False,
) -> None:
    """Plot losses, learning rates and gradient norms of one or several runs.

    Each run has a color and a marker; training losses are dashed, validation losses solid. Needs matplotlib: pip
    install 'jaxrnn[plot]'.
    """
    if output.suffix.lower() not in (".png", ".svg"):
        raise typer.BadParameter(f"{output} ends in neither .png nor .svg", param_hint="'--output'")

    found = [jaxrnn.runs.find_run(run) for run in runs]
    check_output(output, [path for run in found for path in jaxrnn.runs.files_read(run)], overwrite=overwrite)
    tokens = {jaxrnn.runs.read_config(run).corpus.tokens for run in found}
    token = tokens.pop()[:-1] if len(tokens) == 1 else "token"
    curves = []
    for run, name in name_runs(found).items():
        path = run / jaxrnn.runs.METRICS
        try:
            curve = jaxrnn.runs.read_metrics(path)
        except OSError as error:
            raise CheckpointError(f"{path}: can't be read: {reason(error)}") from None
        if not curve["step"].size:
            raise CheckpointError(f"{path}: no evaluation yet; wait for the first one")
        curves.append((name, curve))
    try:
        with writing(output):
            jaxrnn.runs.plot_runs(curves, output, over, token)
    except ImportError:
        raise SaveError(
            "matplotlib is missing; pip install 'jaxrnn[plot]', or in a clone -e '.[plot]'"
        ) from None
    console.note(f"wrote {output}")
