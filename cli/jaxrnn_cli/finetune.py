"""`jaxrnn finetune`: a trained model learns another text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxrnn_cli.data import Data, load_data_again, load_data_for
from jaxrnn_cli.destination import Begun, open_destination
from jaxrnn_cli.jax_start import Platform, start_training_jax
from jaxrnn_cli.loop import resume_run, train_run
from jaxrnn_cli.names import complete_config, complete_run, find_config, find_destination
from jaxrnn_cli.plan import print_plan
from jaxrnn_cli.together import (
    Coordinator,
    Distributed,
    NumProcesses,
    ProcessId,
    check_alike,
    join_others,
)

if TYPE_CHECKING:
    from jaxrnn.config import Config, Texts
    from jaxrnn.data.vocabulary import Vocabulary
    from jaxrnn.runs.directory import Ancestor
    from jaxrnn.training.state import TrainState

_ON_UNKNOWN = ("extend", "drop", "error")


def finetune(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="RUN",
            help="The run to go on from, by its best checkpoint: a directory, or a name in checkpoints/.",
            autocompletion=complete_run,
        ),
    ],
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file, or the name of a config that comes with jaxrnn.  [default: gentle values]",
            autocompletion=complete_config,
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The text to learn: a file, a folder, or a built-in corpus."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run directory to create; a bare name goes into checkpoints/.  [default: the config's name, or "
            "the run's and the text's]",
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
    on_unknown: Annotated[
        str,
        typer.Option(
            metavar="extend|drop|error",
            help="What to do about characters that the model does not know.",
            autocompletion=lambda: list(_ON_UNKNOWN),
        ),
    ] = "extend",
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
    """Go on from a trained model with another text.

    Layers and weights are the run's. Characters that it knows keep their weights, new ones get their own.
    """
    if on_unknown not in _ON_UNKNOWN:
        raise typer.BadParameter(
            f"{on_unknown!r} is none of {', '.join(_ON_UNKNOWN)}", param_hint="'--on-unknown'"
        )
    from jaxrnn.config import load_finetune_config
    from jaxrnn.data.documents import resolve_separator
    from jaxrnn.runs.directory import find_run, read_config, read_vocabulary

    join_others(distributed, coordinator, num_processes, process_id)
    found = find_run(source)
    path = find_config(config) if config is not None else None
    texts = [] if corpus is None else [f"corpus.text={corpus}"]
    resolved = load_finetune_config(path, read_config(found), [*(overrides or ()), *texts])
    run = _destination(found, path, resolved, to)
    begun = open_destination(run, resolved, resume=resume, overwrite=overwrite)
    if begun:
        _check_source(run, begun, found)
    start_training_jax(resolved, platform)
    if begun:
        data = load_data_again(resolved, begun, quiet=quiet)
    else:
        vocabulary, history = read_vocabulary(found), _history(found)
        data = load_data_for(vocabulary, resolved, on_unknown, history, quiet=quiet)  # type: ignore[arg-type]
    resolved = resolve_separator(resolved, data.vocabulary)
    check_alike(resolved, run, data, goes_on=begun is not None)
    if dry_run:
        print_plan(run, resolved, data, begun)
    elif begun:
        resume_run(run, resolved, data, begun, quiet=quiet)
    else:
        state, val_loss = _first_state(found, resolved, vocabulary, data)
        train_run(run, resolved, data, state, val_loss=val_loss, overwrite=overwrite, quiet=quiet)


def _destination(source: Path, path: Path | None, config: "Config", to: str | None) -> Path:
    from jaxrnn.errors import CheckpointError

    name = str(path) if path else f"{source.resolve().name}-{_stem(config.corpus.text)}"
    run = find_destination(to, name)
    if run.resolve() == source.resolve():
        raise CheckpointError(f"{run}: is the run to go on from; name another one with --to RUN")
    return run


def _stem(names: "Texts") -> str:
    """What to call a text in the name of a run: the first of several."""
    path = Path(names if isinstance(names, str) else names[0])
    return (path.resolve() if path.name in ("", "..") else path).stem


def _check_source(run: Path, begun: Begun, source: Path) -> None:
    from jaxrnn.errors import CheckpointError

    if not begun.record.history:
        raise CheckpointError(f"{run}: was not fine-tuned but trained anew; name another run with --to RUN")
    before = begun.record.history[-1].run
    if Path(before).name != source.resolve().name:  # the folders above may have been moved
        raise CheckpointError(
            f"{run}: was fine-tuned from {before}, not from {source}; name another run with --to RUN"
        )


def _history(source: Path) -> "tuple[Ancestor, ...]":
    from jaxrnn.runs.directory import Ancestor, read_record
    from jaxrnn.runs.saved_steps import find_step

    record, step = read_record(source), find_step(source, "best").step
    return (*record.history, Ancestor(str(source.resolve()), step, record.corpus, record.corpus_sha256))


def _first_state(
    source: Path, config: "Config", vocabulary: "Vocabulary", data: Data
) -> "tuple[TrainState, float | None]":
    """The state to begin with, and its loss on the held-out text: what is to be beaten."""
    import jax
    import jax.numpy as jnp

    from jaxrnn.evaluation import validation
    from jaxrnn.runs.checkpoint import load_params
    from jaxrnn.training.finetuning import adapt_params
    from jaxrnn.training.state import start_state

    params = load_params(source, config.model, vocabulary.size)
    key = jax.random.key(config.train.rng_seed)
    params = adapt_params(params, vocabulary, data.vocabulary, key)
    state = start_state(config, params)
    if not data.val_ids.size:
        return state, None
    val_loss = validation.evaluate(
        config.model, params, validation.lay_out(data.val_ids, config.train.eval_tokens)
    )
    return state._replace(best_val_loss=jnp.float32(val_loss)), val_loss
