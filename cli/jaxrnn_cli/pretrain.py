"""`jaxrnn pretrain`: a model from a config and a text."""

from typing import Annotated

import typer

from jaxrnn_cli.data import load_data, load_data_again
from jaxrnn_cli.destination import open_destination
from jaxrnn_cli.jax_start import Platform, start_training_jax
from jaxrnn_cli.loop import resume_run, train_run
from jaxrnn_cli.names import complete_config, find_config, find_destination
from jaxrnn_cli.plan import print_plan
from jaxrnn_cli.together import (
    Coordinator,
    Distributed,
    NumProcesses,
    ProcessId,
    check_alike,
    join_others,
)


def pretrain(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or the name of a config that comes with jaxrnn, such as shakespeare.",
            autocompletion=complete_config,
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run directory to create; a bare name goes into checkpoints/.  [default: the config's name]",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a value of the config, such as train.steps=400; may be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is there, from its last checkpoint.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained and written.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    platform: Platform = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
) -> None:
    """Train a new model on a text.

    Ctrl-C saves and ends; pressed twice, it ends at once. With --resume it goes on later as if it had not been stopped.
    """
    from jaxrnn.config import load_config
    from jaxrnn.data.documents import resolve_separator
    from jaxrnn.training.state import init_state

    join_others(distributed, coordinator, num_processes, process_id)
    path = find_config(config)
    resolved = load_config(path, overrides or ())
    run = find_destination(to, str(path))
    begun = open_destination(run, resolved, resume=resume, overwrite=overwrite)
    start_training_jax(resolved, platform)
    data = load_data_again(resolved, begun, quiet=quiet) if begun else load_data(resolved, quiet=quiet)
    resolved = resolve_separator(resolved, data.vocabulary)
    check_alike(resolved, run, data, goes_on=begun is not None)
    if dry_run:
        print_plan(run, resolved, data, begun)
    elif begun:
        resume_run(run, resolved, data, begun, quiet=quiet)
    else:
        state = init_state(resolved, data.vocabulary.size)
        train_run(run, resolved, data, state, overwrite=overwrite, quiet=quiet)
