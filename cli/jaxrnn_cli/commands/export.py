"""`jaxrnn export`: a trained model as other programs read it."""

from pathlib import Path
from typing import Annotated

import typer

import jaxrnn
from jaxrnn.disk import user_path
from jaxrnn_cli.display import console
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.display.numbers import format_bytes
from jaxrnn_cli.options.choices import choice
from jaxrnn_cli.options.names import FromRun, OfCheckpoint
from jaxrnn_cli.options.output import OverwriteFile, check_output
from jaxrnn_cli.startup.devices import Platform, start_jax

# `jaxrnn.interchange.FORMATS`, which is too slow to import for a help text
FORMATS = ("safetensors", "onnx", "stablehlo")


def export(
    output_format: Annotated[
        str,
        choice("--format", FORMATS, help="The format."),
    ],
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=user_path, help="The file.  [default: RUN's name.FORMAT]"),
    ] = None,
    overwrite: OverwriteFile = False,
    platform: Platform = None,
) -> None:
    """Write a trained model as other programs read it.

    safetensors: the parameters under PyTorch's names, and a JSON file: see docs/interchange.md.
    onnx: a graph for onnxruntime, in Python or a browser: see docs/onnx.md.
    stablehlo: a program for JAX, parameters included, for any batch and device: see docs/stablehlo.md.
    The first two need a package each: pip install 'jaxrnn[export]'.
    """
    found = jaxrnn.runs.find_run(run)
    if run is None:
        console.note(f"exporting {found}, the newest run")
    name = found.resolve().name
    path = output or Path(f"{name}.{output_format}")
    inputs = jaxrnn.runs.files_read(found)
    check_output(path, inputs, overwrite=overwrite)
    start_jax(platform)
    writer = jaxrnn.interchange.FORMATS[output_format]
    note_checkpoint(found, checkpoint)
    model = jaxrnn.load(found, checkpoint)
    written = jaxrnn.interchange.export(model, writer, path, overwrite=overwrite, inputs=inputs)
    sizes = (f"{file} ({format_bytes(file.stat().st_size)})" for file in written)
    console.note(f"wrote {', '.join(sizes)}")
