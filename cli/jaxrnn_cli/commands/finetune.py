"""`jaxrnn finetune`: train a model further on another corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import jaxrnn
from jaxrnn_cli.commands.training import DryRun, LogTo, Overwrite, Quiet, Resume, Set, To, run_job
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.options.choices import ON_UNKNOWN, choice
from jaxrnn_cli.options.names import OfCheckpoint, complete_config, complete_run
from jaxrnn_cli.startup.devices import Platform
from jaxrnn_cli.startup.processes import Coordinator, Distributed, NumProcesses, ProcessId, join_others

if TYPE_CHECKING:
    from jaxrnn.data import OnUnknown
    from jaxrnn.workflows import Job


def finetune(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="RUN",
            help="The run to fine-tune: a directory, or the name of one in checkpoints/.",
            autocompletion=complete_run,
        ),
    ],
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or the name of a config that comes with jaxrnn.  [default: the defaults of fine-tuning]",
            autocompletion=complete_config,
        ),
    ] = None,
    checkpoint: OfCheckpoint = "best",
    corpus: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The corpus to train on: a file, a folder, or a built-in corpus."),
    ] = None,
    to: To = None,
    overrides: Set = None,
    on_unknown: Annotated[
        str,
        choice(
            "--on-unknown",
            ON_UNKNOWN,
            help="Characters that are not in the vocabulary: add rows for them, drop them from the corpus, or refuse "
            "the corpus.",
        ),
    ] = "extend",
    resume: Resume = False,
    overwrite: Overwrite = False,
    log_to: LogTo = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    platform: Platform = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process_id: ProcessId = None,
) -> None:
    """Fine-tune a trained model on another corpus.

    The layers and weights come from the run. Characters in its vocabulary keep their embedding and output rows; new
    characters get freshly initialized rows.
    """
    join_others(distributed, coordinator, num_processes, process_id)
    job = jaxrnn.workflows.open_finetuning(
        source,
        corpus,
        overrides or {},
        config=config,
        checkpoint=checkpoint,
        on_unknown=cast("OnUnknown", on_unknown),
    )
    if not quiet and job.source:
        note_checkpoint(job.source, checkpoint)
    to = str(_default_run(job, config)) if to is None else to
    job = jaxrnn.workflows.write_to(job, to, resume=resume, overwrite=overwrite, log_to=log_to or ())
    run_job(job, platform, dry_run=dry_run, quiet=quiet)


def _default_run(job: "Job", config: str | None) -> Path:
    """Return the default run directory, named after the config, or after the run and the corpus."""
    if config is not None:
        return jaxrnn.runs.default_run(str(jaxrnn.config.find_config(config)))
    assert job.source is not None
    corpus = job.config.corpus.text
    path = Path(corpus if isinstance(corpus, str) else corpus[0])
    stem = (path.resolve() if path.name in ("", "..") else path).stem
    return jaxrnn.runs.default_run(f"{job.source.resolve().name}-{stem}")
