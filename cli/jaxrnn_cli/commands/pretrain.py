"""`jaxrnn pretrain`: train a new model from a config."""

from pathlib import Path
from typing import Annotated

import typer

import jaxrnn
from jaxrnn_cli.commands.training import DryRun, LogTo, Overwrite, Quiet, Resume, Set, To, run_job
from jaxrnn_cli.options.choices import choice
from jaxrnn_cli.options.names import complete_config
from jaxrnn_cli.startup.devices import Platform
from jaxrnn_cli.startup.processes import Coordinator, Distributed, NumProcesses, ProcessId, join_others


def pretrain(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or the name of a config that comes with jaxrnn, such as shakespeare.",
            autocompletion=complete_config,
        ),
    ],
    to: To = None,
    overrides: Set = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    log_to: LogTo = None,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a profile of ten steps, for xprof or TensorBoard."),
    ] = None,
    dry_run: DryRun = False,
    target: Annotated[
        str | None,
        choice(
            "--for",
            ("h100", "a100", "v5e", "v6e"),
            help="With --dry-run: also compile for a GPU or TPU, which need not be here, and say if the run fits.",
        ),
    ] = None,
    quiet: Quiet = False,
    platform: Platform = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
) -> None:
    """Train a new model on a corpus.

    Ctrl-C saves a checkpoint and stops; pressing Ctrl-C again stops at once. --resume continues a stopped run.
    """
    if target and not dry_run:
        raise typer.BadParameter("needs --dry-run", param_hint="'--for'")
    join_others(distributed, coordinator, num_processes, process_id)
    path = jaxrnn.config.find_config(config)
    job = jaxrnn.workflows.Job(jaxrnn.config.load_config(path, overrides or ()), profile=profile)
    if to is None:
        if not path.is_file():
            raise typer.BadParameter(
                "a config read from a pipe has no file name; name the run directory", param_hint="'--to'"
            )
        to = str(jaxrnn.runs.default_run(str(path)))
    job = jaxrnn.workflows.write_to(job, to, resume=resume, overwrite=overwrite, log_to=log_to or ())
    # The compilers for other devices need none; JAX would look for one.
    run_job(job, "cpu" if target else platform, dry_run=dry_run, quiet=quiet, target=target)
