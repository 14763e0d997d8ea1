"""`jaxrnn sample`: generate text with a trained model and stream it."""

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import jaxrnn
from jaxrnn.config import SampleConfig
from jaxrnn.config.fields import FieldError
from jaxrnn.disk import user_path
from jaxrnn.errors import VocabularyError
from jaxrnn_cli.display import console
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.display.samples import print_json, print_samples
from jaxrnn_cli.options.choices import ON_UNKNOWN, choice
from jaxrnn_cli.options.escapes import escaped
from jaxrnn_cli.options.names import FromRun, OfCheckpoint
from jaxrnn_cli.options.numbers import integer, number
from jaxrnn_cli.options.standard_input import read_stdin, text_of_stdin
from jaxrnn_cli.options.together import refuse_together
from jaxrnn_cli.startup.devices import Platform, start_jax
from jaxrnn_cli.startup.signals import leave_quietly

if TYPE_CHECKING:
    from jaxrnn.data import Ids, Text, Vocabulary
    from jaxrnn.sampling import Block, Sample

_MOST = 65_536  # samples in one batch
_EXCLUDED = {
    "--seeds": ("--seed",),
    "--forever": ("--length", "--num-samples", "--best-of", "--json", "--seeds"),
    "--json": ("--no-echo", "--separator", "--show-probabilities"),
}


def sample(
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    seed: Annotated[
        str | None,
        typer.Option("--seed", "--prompt", metavar="TEXT", help="The prompt; - reads standard input."),
    ] = None,
    seeds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            help="A text file with one prompt per line; - reads standard input.",
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "--max-new-tokens",
            metavar="N",
            parser=integer(),
            help="Number of characters to sample.",
        ),
    ] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Sample until Ctrl-C.")] = False,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T", parser=number, help="Divide the logits by T; 0: always the most likely character."
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            metavar="K", parser=integer(), help="Sample from the K most likely characters; 0: from all."
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=number,
            help="Sample from the smallest set of characters with a total probability of at least P.",
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=number,
            help="Sample from the characters at least P times as likely as the most likely one; 0: from all.",
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            parser=number,
            help="Make characters that occurred in the prompt or the sample less likely; 1: off.",
        ),
    ] = None,
    stop: Annotated[str | None, typer.Option(metavar="TEXT", help="End a sample before this text.")] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=integer(1, _MOST),
            help="Number of samples per prompt, generated as one batch.",
        ),
    ] = 1,
    best_of: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=integer(1, _MOST),
            help="Generate N candidates per sample and write the one with the lowest mean NLL.",
        ),
    ] = 1,
    rng_seed: Annotated[
        int | None,
        typer.Option(metavar="N", parser=integer(0, 2**32 - 1), help="The RNG seed.  [default: random]"),
    ] = None,
    on_unknown: Annotated[
        str,
        choice(
            "--on-unknown",
            ON_UNKNOWN[1:],  # "extend" needs training
            help="Characters of the prompt that are not in the vocabulary: drop them, or refuse the prompt.",
        ),
    ] = "error",
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Write the samples without the prompt.")] = False,
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            parser=escaped,
            help=r"The text between samples; \n, \t, \0 and \\ stand for a newline, a tab, a NUL and a backslash.  "
            r"[default: \n]",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write each sample as one line of JSON: prompt, text, number of tokens, mean NLL in nats.",
        ),
    ] = False,
    show_probabilities: Annotated[
        bool,
        typer.Option(
            "--show-probabilities",
            help="Color each character by its surprisal on a terminal; darker is less likely.",
        ),
    ] = False,
    platform: Platform = None,
) -> None:
    """Generate text with a trained model.

    The prompt is echoed, and characters are printed as they are sampled. Defaults come from the [sample] section of
    the run's config. A byte model writes raw bytes into a pipe or a file.
    """
    refuse_together(
        {
            "--seed": seed is not None,
            "--seeds": seeds is not None,
            "--length": length is not None,
            "--forever": forever,
            "--num-samples": num_samples > 1,
            "--best-of": best_of > 1,
            "--no-echo": no_echo,
            "--separator": separator is not None,
            "--json": as_json,
            "--show-probabilities": show_probabilities,
        },
        _EXCLUDED,
    )
    if num_samples * best_of > _MOST:
        problem = f"{num_samples:,} times {best_of:,} samples are too many; a batch has at most {_MOST:,}"
        raise typer.BadParameter(problem, param_hint="'--best-of'")
    read = read_stdin() if seed == "-" else None
    given: dict[str, Any] = {
        "prompt": seed if read is None else read.decode("utf-8", "surrogateescape"),
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": stop,
    }
    given = {key: value for key, value in given.items() if value is not None}
    _merge(None, given, any_bytes=True)  # report usage errors before files are read
    prompts: dict[str, str] = {}
    if seeds is not None:
        prompts_of, read_prompts = jaxrnn.sampling.prompts_of, jaxrnn.sampling.read_prompts
        prompts = prompts_of(read_stdin(), "standard input") if str(seeds) == "-" else read_prompts(seeds)
    start_jax(platform)

    found = jaxrnn.runs.find_run(run)
    if run is None:
        console.note(f"sampling from {found}, the newest run")
    note_checkpoint(found, checkpoint)
    config, vocabulary = jaxrnn.runs.read_config(found), jaxrnn.runs.read_vocabulary(found)
    if read is not None and vocabulary.tokens == "characters":
        given["prompt"] = text_of_stdin(read)
    options = _merge(config.sample, given, any_bytes=vocabulary.tokens == "bytes")
    hint = f"did you mean --rng-seed {seed}?" if rng_seed is None and (seed or "").isdecimal() else ""
    prompts = prompts or {"the prompt": given.get("prompt", options.prompt)}
    ids = _read_prompts(vocabulary, prompts, drop=on_unknown == "drop", hint=hint)
    stop_text: Any = _read_stop(vocabulary, given.get("stop", options.stop))
    if hint:
        console.note(f"--seed {seed} is the prompt; {hint}")
    if rng_seed is None:
        rng_seed = secrets.randbelow(2**31)
        console.note(f"--rng-seed {rng_seed} reproduces this sample")

    model = jaxrnn.load(found, checkpoint)
    is_painted = show_probabilities and console.can_paint()
    if show_probabilities:
        console.explain_surprisal(is_painted=is_painted)

    first_seed = rng_seed

    def draw(index: int, prompt: "Ids") -> Iterator["Block"]:
        return jaxrnn.sampling.sample(
            model.config,
            model.params,
            prompt,
            length=None if forever else options.length,
            **options.rules,
            num_samples=num_samples * best_of,
            rng_seed=first_seed + index,  # so that each prompt can be sampled alone again
            separator_id=vocabulary.separator_id,
        )

    def finished(index: int, prompt: "Ids") -> list["Sample"]:
        samples = jaxrnn.sampling.finish(vocabulary, draw(index, prompt), stop_text, num_samples * best_of)
        return jaxrnn.sampling.best_of(samples, best_of)

    def pieces() -> Iterator[tuple["Text", Any, list[float]]]:
        for index, prompt in enumerate(ids):
            text = jaxrnn.data.spell(vocabulary, prompt[:0] if no_echo else prompt)
            if best_of > 1:
                yield from ((text, [sample.text], sample.nll) for sample in finished(index, prompt))
            else:
                samples = jaxrnn.sampling.one_by_one(vocabulary, draw(index, prompt), stop_text, num_samples)
                yield from ((text, *sample) for sample in samples)

    if as_json:
        for index, prompt in enumerate(ids):
            for sample in finished(index, prompt):
                print_json(jaxrnn.data.spell(vocabulary, prompt), sample)
        return
    between = "\n" if separator is None else separator
    with leave_quietly() if forever else contextlib.nullcontext():
        print_samples(pieces(), len(ids) * num_samples, between, is_painted=is_painted)


def _merge(defaults: SampleConfig | None, given: dict[str, Any], *, any_bytes: bool) -> SampleConfig:
    """Return the run's sampling options overridden by the given ones; errors name the command-line option.

    With `any_bytes`, a text may have bytes that are not UTF-8; they are replaced, because a config is Unicode.
    """
    if any_bytes:
        given = {
            key: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for key, value in given.items()
        }
    try:
        return dataclasses.replace(defaults or SampleConfig(), **given)
    except FieldError as error:
        option = "seed" if error.key == "prompt" else error.key.replace("_", "-")
        raise FieldError(f"--{option}", error.problem, error.value) from None


def _read_stop(vocabulary: "Vocabulary", stop: str) -> "Text":
    """Return the stop text; refuse one that the model can never generate."""
    try:
        return jaxrnn.sampling.stop_text(vocabulary, stop)
    except VocabularyError as error:
        raise VocabularyError(f"--stop can never match: {error}{_escape_hint(stop)}") from None


def _escape_hint(text: str) -> str:
    return "; in bash, $'\\n' is a newline" if "\\n" in text else ""


def _read_prompts(vocabulary: "Vocabulary", prompts: dict[str, str], *, drop: bool, hint: str) -> list["Ids"]:
    """Return the token ids of each prompt; with `drop`, characters that are not in the vocabulary are left out.

    Raises:
        VocabularyError: A character is not in the vocabulary, or with `drop` no character of a prompt is.
    """
    ids: list[Ids] = []
    dropped: set[str] = set()
    for name, prompt in prompts.items():
        try:
            known, unknown = jaxrnn.sampling.known_ids(vocabulary, prompt, drop=drop)
        except VocabularyError as error:
            remedy = "change it" if drop else "change it, or add --on-unknown drop"
            ending = f"; {hint}" if hint else ""
            message = f"{name} can't be read: {error}; {remedy}{ending}{_escape_hint(prompt)}"
            raise VocabularyError(message) from None
        ids.append(known)
        dropped |= unknown
    if dropped:
        described = map(jaxrnn.data.describe_character, sorted(dropped))
        console.note(f"dropped from the prompt{'s' * (len(ids) > 1)}: {', '.join(described)}")
    return ids
