"""`jaxrnn evaluate`: the loss of a trained model on a corpus, under named protocols."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import jaxrnn
from jaxrnn.disk import user_path
from jaxrnn_cli.display import console
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.display.evaluation import print_report, same_text
from jaxrnn_cli.display.progress import progress_display
from jaxrnn_cli.options.choices import check_choice, choice
from jaxrnn_cli.options.names import FromRun, OfCheckpoint, complete_run
from jaxrnn_cli.options.numbers import integer, number
from jaxrnn_cli.options.output import OverwriteFile, check_output
from jaxrnn_cli.startup.devices import Platform, start_jax

if TYPE_CHECKING:
    from jaxrnn.evaluation import Rates

PROTOCOLS = ("stateful", "windows", "dynamic")
SPLITS = ("validation", "test")


def evaluate(
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Score this whole corpus: a file, a folder, or a built-in corpus.  [default: the run's validation "
            "split]",
        ),
    ] = None,
    split: Annotated[
        str,
        choice(
            "--split",
            SPLITS,
            help="The split of the run's corpus to score: validation, which selected the best checkpoint, or test, "
            "which training never reads.",
        ),
    ] = "validation",
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=integer(2, 2**31 - 1),
            help="Score only the first N characters of the text.  [default: all; 5,000,000 of a text larger than "
            "100 MB]",
        ),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="stateful: one pass that carries the state. windows: reset the state every W characters, as in "
            "nanoGPT. dynamic: adapt the weights to the text; many times slower. all: these three. Separate names by "
            "commas, or repeat the option.  [default: stateful,windows]",
            autocompletion=lambda: [*PROTOCOLS, "all"],
        ),
    ] = None,
    window: Annotated[
        int, typer.Option(metavar="W", parser=integer(1, 2**30), help="windows: characters per window.")
    ] = 256,
    segment: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=integer(1, 2**20),
            help="dynamic: characters between two updates of the weights.",
        ),
    ] = 20,
    dynamic_rate: Annotated[
        float | None,
        typer.Option(
            metavar="ETA",
            parser=number,
            help="dynamic: the learning rate.  [default: selected on the end of the training split]",
        ),
    ] = None,
    dynamic_decay: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            parser=number,
            help="dynamic: the rate of decay towards the trained weights.  [default: selected on the end of the "
            "training split]",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN...",
            help="Runs to compare in one table, after the run of --from.",
            autocompletion=complete_run,
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="RUN", hidden=True)] = None,
    per_character: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            parser=user_path,
            help="Write the position, NLL in nats and rank (1: the most likely) of each character or byte under the "
            "first protocol.",
        ),
    ] = None,
    overwrite: OverwriteFile = False,
    memorization: Annotated[
        bool,
        typer.Option(
            "--memorization",
            help="Report the fraction of long strings in a sample that are copied from the training corpus.",
        ),
    ] = False,
    length: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=integer(1, 10_000_000),
            help="--memorization: number of characters to sample.",
        ),
    ] = 20_000,
    rng_seed: Annotated[
        int,
        typer.Option(
            metavar="N", parser=integer(0, 2**32 - 1), help="--memorization: the RNG seed of the sample."
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    platform: Platform = None,
) -> None:
    """Compute the loss of a trained model on text that it was not trained on.

    Prints nats and bits per character. Losses under different protocols or on different texts are not comparable:
    see docs/evaluation.md.
    """
    names = [*(compare or ()), *(more or ())]
    if more and not compare:
        raise typer.BadParameter(
            f"{more[0]!r} is not an option; did you mean --from {more[0]}? Runs to compare follow --compare",
            param_hint="RUN",
        )
    wanted = _read_protocols(protocols)
    rates = _read_rates(dynamic_rate, dynamic_decay)
    if per_character is not None and len(names) + (run is not None) > 1:
        problem = "can't be combined with --compare; give one run"
        raise typer.BadParameter(problem, param_hint="'--per-character'")

    found = [jaxrnn.runs.find_run(run)] if run is not None or not names else []
    if run is None and not names and not as_json:
        console.note(f"evaluating {found[0]}, the newest run")
    found += [jaxrnn.runs.find_run(name) for name in names]
    if per_character is not None:
        inputs = jaxrnn.runs.files_read(found[0]) + (jaxrnn.data.named_paths(corpus) if corpus else [])
        check_output(per_character, inputs, overwrite=overwrite, option="--per-character")
    if not as_json:
        for path in found:
            note_checkpoint(path, checkpoint)
    start_jax(platform)
    with progress_display(quiet=as_json) as on_progress:
        options = jaxrnn.workflows.EvaluationOptions(
            protocols=wanted,
            corpus=corpus,
            window=window,
            segment=segment,
            rates=rates,
            memorization=memorization,
            length=length,
            rng_seed=rng_seed,
            limit=limit,
            checkpoint=checkpoint,
            split=split,
            on_event=(lambda _: None) if as_json else (lambda event: console.note(event.message)),
            on_progress=on_progress,
        )
        evaluations = [jaxrnn.workflows.evaluate_run(path, options) for path in found]
    records = [evaluation.record for evaluation in evaluations]
    if as_json:
        console.write(json.dumps({"same_text": same_text(records), "runs": records}, indent=2) + "\n")
    else:
        print_report(records)
    if per_character is not None:
        jaxrnn.evaluation.write_csv(per_character, evaluations[0].scored, evaluations[0].scores)


def _read_protocols(given: list[str] | None) -> tuple[str, ...]:
    """Return the names without duplicates, in the order given."""
    names = [name.strip() for names in given or ["stateful,windows"] for name in names.split(",")]
    known = (*PROTOCOLS, "all")
    for name in names:
        check_choice(name, known, "--protocol")
    expanded = [each for name in names for each in (PROTOCOLS if name == "all" else (name,))]
    return tuple(dict.fromkeys(expanded))


def _read_rates(rate: float | None, decay: float | None) -> "Rates | None":
    for name, value in (("--dynamic-rate", rate), ("--dynamic-decay", decay)):
        if value is not None and not 0 <= value <= 1:
            raise typer.BadParameter(f"{value:g} is not from 0 to 1", param_hint=f"'{name}'")
    if (rate is None) != (decay is None):
        missing = "'--dynamic-rate'" if rate is None else "'--dynamic-decay'"
        raise typer.BadParameter(
            "give both --dynamic-rate and --dynamic-decay, or neither", param_hint=missing
        )
    if rate is None or decay is None:
        return None
    return jaxrnn.evaluation.Rates(rate, decay)
