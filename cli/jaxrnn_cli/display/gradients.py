"""The table of `jaxrnn gradcheck`."""

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jaxrnn_cli.display.console import write

if TYPE_CHECKING:
    from jaxrnn.gradcheck.check import Check


def print_gradients(checks: Iterable["Check"]) -> list["Check"]:
    """Print each gradient's relative error against each oracle as it is computed, and return the checks."""
    colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    write(f"{'layer':<22} {'gradient of':<22} {'autodiff':>9} {'NumPy':>9} {'differences':>12}  verdict\n")
    done = []
    for check in checks:
        verdict = "verified" if check.passed else "WRONG"
        if colors:
            verdict = f"\x1b[{32 if check.passed else 31}m{verdict}\x1b[0m"
        errors = f"{check.autodiff:9.1e} {check.reference:9.1e} {check.differences:12.1e}"
        sys.stdout.write(f"{check.layer:<22} {check.leaf:<22} {errors}  {verdict}\n")
        sys.stdout.flush()
        done.append(check)
    return done
