"""`jaxrnn import`: a model of another program as a run."""

from pathlib import Path
from typing import Annotated

import typer


def import_run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The model.")],
) -> None:
    """Make a run of a model that another program trained."""
    from jaxrnn.errors import InterchangeError

    raise InterchangeError(f"{file}: nothing is imported yet")
