"""The table of the gradient check."""

import os
import sys
from typing import TYPE_CHECKING

from jaxrnn_cli.display.console import write

if TYPE_CHECKING:
    from jaxrnn.gradcheck.check import Check


class GradientTable:
    """Prints the table of the gradient check to stdout, each row as soon as it is known."""

    def __init__(self) -> None:
        """Print the head of the table."""
        self._colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        write(
            f"{'layer':<22} {'gradient of':<22} {'autodiff':>9} {'NumPy':>9} {'differences':>12}  verdict\n"
        )

    def add(self, check: "Check") -> None:
        """Print one row: the relative error against each oracle, and whether all are small enough."""
        verdict = "verified" if check.passed else "WRONG"
        if self._colors:
            verdict = f"\x1b[{32 if check.passed else 31}m{verdict}\x1b[0m"
        errors = f"{check.autodiff:9.1e} {check.reference:9.1e} {check.differences:12.1e}"
        sys.stdout.write(f"{check.layer:<22} {check.leaf:<22} {errors}  {verdict}\n")
        sys.stdout.flush()
