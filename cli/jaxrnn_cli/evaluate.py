"""`jaxrnn evaluate`: what a text costs a trained model, under protocols that are named and never mixed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxrnn_cli import console
from jaxrnn_cli.jax_start import Platform, start_jax
from jaxrnn_cli.names import closest, complete_run
from jaxrnn_cli.numbers import integer, number

if TYPE_CHECKING:
    from jaxrnn.dynamic import Rates

PROTOCOLS = ("stateful", "windows", "dynamic")


def evaluate(
    run: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="A run directory, or the name of one in checkpoints/.  [default: the newest]",
            autocompletion=complete_run,
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The text to score, whole: a file, or a built-in corpus.  [default: what the run held out]",
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="stateful|windows|dynamic|all",
            help="How to read the text; may be repeated. dynamic, in which the weights adapt as they read, takes "
            "minutes.  [default: stateful and windows]",
            autocompletion=lambda: [*PROTOCOLS, "all"],
        ),
    ] = None,
    window: Annotated[
        int,
        typer.Option(metavar="W", parser=integer(1), help="For windows: a zero state every W characters."),
    ] = 256,
    dynamic_rate: Annotated[
        float | None,
        typer.Option(
            metavar="ETA",
            parser=number,
            help="For dynamic: how fast weights adapt.  [default: what does best on the end of the training text]",
        ),
    ] = None,
    dynamic_decay: Annotated[
        float | None,
        typer.Option(metavar="LAMBDA", parser=number, help="For dynamic: how fast they return; likewise."),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN", help="Another run in the same table; may be repeated, or followed by more runs."
        ),
    ] = None,
    others: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="More runs.")] = None,
    per_character: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Write each character, its nats and its rank, by the first protocol."
        ),
    ] = None,
    memorisation: Annotated[
        bool,
        typer.Option(
            "--memorisation", help="Report how much of what the model writes stands in its training text."
        ),
    ] = False,
    rng_seed: Annotated[
        int, typer.Option(metavar="N", parser=integer(0, 2**32 - 1), help="For the text that it writes.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    platform: Platform = None,
) -> None:
    """Measure a trained model on text that it has not seen.

    Nats and bits per character and bits per byte, by the run's best checkpoint. Numbers of different protocols do not
    compare: docs/evaluation.md.
    """
    from jaxrnn.run_directory import find_run
    from jaxrnn_cli.evaluation import Options, evaluate_run, write_per_character
    from jaxrnn_cli.evaluation_report import print_report

    options = Options(
        protocols=_protocols(protocol),
        window=window,
        rates=_rates(dynamic_rate, dynamic_decay),
        corpus=corpus,
        memorisation=memorisation,
        rng_seed=rng_seed,
        quiet=as_json,
    )
    names = [*(compare or ()), *(others or ())]
    found = [find_run(run)] if run is not None or not names else []
    if run is None and not names:
        console.note(f"evaluating {found[0]}, the newest run")
    found += [find_run(name) for name in names]
    if per_character and len(found) > 1:
        raise typer.BadParameter("goes with one run only", param_hint="'--per-character'")
    if per_character and not per_character.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {per_character.parent}", param_hint="'--per-character'")
    start_jax(platform)
    results: list[dict[str, Any]] = []
    for path in found:
        result, text, scores = evaluate_run(path, options)
        results.append(result)
        if per_character:
            write_per_character(per_character, text, scores)
    if as_json:
        console.write(json.dumps({"runs": results}, ensure_ascii=False, indent=1) + "\n")
    else:
        print_report(results)


def _protocols(given: list[str] | None) -> tuple[str, ...]:
    names = [name.strip() for names in given or ["stateful,windows"] for name in names.split(",")]
    for name in names:
        if name not in (*PROTOCOLS, "all"):
            hint = closest(name, PROTOCOLS)
            raise typer.BadParameter(
                f"{name!r} is none of {', '.join(PROTOCOLS)} and all{hint}", param_hint="'--protocol'"
            )
    return PROTOCOLS if "all" in names else tuple(dict.fromkeys(names))


def _rates(rate: float | None, decay: float | None) -> "Rates | None":
    from jaxrnn.dynamic import Rates

    if rate is None and decay is None:
        return None
    if rate is None or decay is None:
        raise typer.BadParameter("give both --dynamic-rate and --dynamic-decay, or neither")
    if not 0 <= rate <= 1 or not 0 <= decay <= 1:
        raise typer.BadParameter("--dynamic-rate and --dynamic-decay must be from 0 to 1")
    return Rates(rate, decay)
