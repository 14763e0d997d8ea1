"""`jaxrnn export`: a trained model as other programs read it."""

from pathlib import Path
from typing import Annotated

import typer

from jaxrnn_cli import console
from jaxrnn_cli.jax_start import Platform, start_jax
from jaxrnn_cli.names import FromRun, closest
from jaxrnn_cli.output import check_output

# `jaxrnn.interchange.FORMATS`, which is too slow to import for a help text
FORMATS = ("safetensors", "onnx", "stablehlo")


def export(
    output_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="The format.", autocompletion=lambda: list(FORMATS)
        ),
    ],
    run: FromRun = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file.  [default: RUN's name.FORMAT]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    platform: Platform = None,
) -> None:
    """Write a trained model, by its best checkpoint, as other programs read it.

    safetensors: the parameters as PyTorch names them, and JSON beside them: see docs/interchange.md.
    onnx: a graph for onnxruntime, in Python or a browser: see docs/onnx.md.
    stablehlo: a program for JAX, parameters included, for any batch and device: see docs/stablehlo.md.
    The first two need a package each: pip install 'jaxrnn[export]'.
    """
    if output_format not in FORMATS:
        problem = f"{output_format!r} is none of {', '.join(FORMATS)}{closest(output_format, FORMATS)}"
        raise typer.BadParameter(problem, param_hint="'--format'")

    from jaxrnn.interchange import FORMATS as WRITERS
    from jaxrnn.interchange.exporting import check_free
    from jaxrnn.interchange.exporting import export as write
    from jaxrnn.runs.directory import find_run
    from jaxrnn.runs.loading import load_trained

    found = find_run(run)
    if run is None:
        console.note(f"exporting {found}, the newest run")
    name = found.resolve().name
    path = output or Path(f"{name}.{output_format}")
    check_output(path)
    check_free(path, overwrite=overwrite)
    start_jax(platform)
    written = write(load_trained(found, name), WRITERS[output_format], path, overwrite=overwrite)
    sizes = (f"{file} ({console.format_bytes(file.stat().st_size)})" for file in written)
    console.note(f"wrote {', '.join(sizes)}")
