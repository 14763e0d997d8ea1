"""`jaxrnn gradcheck`: verify every hand-derived gradient on this machine."""

from typing import Annotated

import typer

import jaxrnn
from jaxrnn_cli.display import console
from jaxrnn_cli.display.gradients import print_gradients
from jaxrnn_cli.startup.devices import Platform, start_jax


def gradcheck(
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="Check only this layer, for example lstm.")
    ] = None,
    platform: Platform = None,
) -> None:
    """Verify the gradients of every layer against three oracles.

    Prints the relative error of each hand-derived gradient against automatic differentiation, the NumPy layers and
    central differences, in float64. The exit code is 1 if a gradient is wrong.
    """
    start_jax(platform)
    checks = print_gradients(jaxrnn.gradcheck.check_gradients(layer))
    wrong = [f"{check.layer} {check.leaf}" for check in checks if not check.passed]
    if wrong:
        console.error(f"{len(wrong)} of {len(checks)} gradients are wrong: {', '.join(wrong)}")
        raise typer.Exit(1)
    console.write(f"all {len(checks)} gradients verified\n")
