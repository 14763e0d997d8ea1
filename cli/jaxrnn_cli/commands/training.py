"""Options and the training run that `jaxrnn pretrain` and `jaxrnn finetune` share."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import jaxrnn
from jaxrnn_cli.display.console import note
from jaxrnn_cli.display.plan import print_plan
from jaxrnn_cli.display.progress import progress_display
from jaxrnn_cli.display.training import TrainingDisplay
from jaxrnn_cli.startup.devices import start_training_jax
from jaxrnn_cli.startup.processes import check_alike
from jaxrnn_cli.startup.signals import catch_signals, share_signals

if TYPE_CHECKING:
    from jaxrnn.workflows import Job, Note

To: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="The run directory to create; a bare name goes into checkpoints/.  [default: the config's name; for "
        "finetune without a config, the names of the run and the corpus]",
    ),
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the config, such as train.steps=400; may be repeated.",
    ),
]
Resume: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Resume the existing run from its last checkpoint.")
]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")]
LogTo: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        metavar="NAME",
        help="Also send the metrics to tensorboard, wandb or mlflow; may be repeated.",
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Print sizes, memory and output files without training.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def run_job(
    job: "Job", platform: str | None, *, dry_run: bool, quiet: bool, target: str | None = None
) -> None:
    """Run a training job and display its progress; or its plan, on this machine or on a target.

    Raises:
        typer.Exit: A signal stopped the run, which is saved; the exit code is 128 + the signal's number.
        JaxrnnError: From `workflows.load_data` or `workflows.train`.
    """
    start_training_jax(job.config, platform)
    with progress_display(quiet=quiet) as on_progress:
        data = jaxrnn.workflows.load_data(
            job, on_event=(lambda _: None) if quiet else _show_note, on_progress=on_progress
        )
    check_alike(job, data)
    if dry_run:
        print_plan(job, data, target)
        return
    train = data.config.train
    with catch_signals(quiet=quiet) as signals:
        with TrainingDisplay(train.steps, data.config.corpus.tokens, quiet=quiet) as display:
            run = jaxrnn.workflows.train(job, data, on_event=display.show, should_stop=lambda: bool(signals))
        share_signals(signals)
    stopped = signals if run.step < train.steps else []
    display.conclude(run, [signal.name for signal in stopped])
    if stopped:
        raise typer.Exit(128 + stopped[0])


def _show_note(event: "Note") -> None:
    note(event.message)
