"""`jaxrnn export`: write a trained model in another format."""

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

# The keys of `jaxrnn.interchange.FORMATS`, whose import would slow down --help.
FORMATS = ("safetensors", "onnx", "stablehlo")


def export(
    output_format: Annotated[
        str,
        choice("--format", FORMATS, help="The file format."),
    ],
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=user_path, help="The output file.  [default: RUN's name.FORMAT]"),
    ] = None,
    overwrite: OverwriteFile = False,
    platform: Platform = None,
) -> None:
    """Export a trained model to safetensors, ONNX or StableHLO.

    safetensors: the parameters under PyTorch's names, with a JSON file; see docs/interchange.md.
    onnx: a graph for onnxruntime in Python or a browser; see docs/onnx.md.
    stablehlo: a JAX program with its parameters, for any batch size and device; see docs/stablehlo.md.
    safetensors and onnx need extra packages: pip install 'jaxrnn[export]'.
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
