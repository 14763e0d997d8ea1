"""`jaxrnn import`: create a run from another program's model."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import jaxrnn
from jaxrnn.disk import user_path
from jaxrnn.errors import CheckpointError, counted
from jaxrnn_cli.display import console
from jaxrnn_cli.options.choices import choice
from jaxrnn_cli.startup.devices import Platform, start_jax

_FORMATS = ("safetensors", "original")


def import_run(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=user_path,
            help="A safetensors file of a PyTorch model, or a JSON file of the original project.",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run directory to create; a bare name goes into checkpoints/.  [default: the file's name]",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        choice(
            "--format", _FORMATS, help="The format of the file.  [default: detected from its first bytes]"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")] = False,
    platform: Platform = None,
) -> None:
    """Create a run from a model that another program trained.

    sample, evaluate --corpus, inspect and finetune --corpus accept the run. The vocabulary of a safetensors file is
    read from the JSON file next to it; see docs/interchange.md.
    """
    # Before the run is named after the file: a folder such as . or / has no name.
    jaxrnn.interchange.check_file(file, jaxrnn.interchange.MODEL_FILE)
    run = jaxrnn.runs.default_run(file.stem) if to is None else jaxrnn.runs.find_destination(to)
    try:
        inputs = [file, file.with_suffix(".json")]
        jaxrnn.runs.check_destination(run, overwrite=overwrite, inputs=inputs)
    except jaxrnn.runs.RunExistsError:
        ways = "--overwrite replaces it, --to RUN writes elsewhere"
        raise CheckpointError(f"{run}: a run exists here; {ways}") from None
    imported = jaxrnn.interchange.read_model(file, file_format)  # type: ignore[arg-type]
    for note in imported.notes:
        console.note(note)
    start_jax(platform)
    jaxrnn.interchange.create_imported_run(run, imported, file, overwrite=overwrite)
    layers = ", ".join(layer.type for layer in imported.config.layers)
    console.note(
        f"{run}: {layers}; {jaxrnn.models.count_parameters(imported.params):,} parameters, "
        f"{counted(imported.vocabulary.size, imported.vocabulary.unit)}; "
        f"sample from it with: jaxrnn sample --from {shlex.quote(str(run))}"
    )
