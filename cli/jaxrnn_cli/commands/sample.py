"""`jaxrnn sample`: text from a trained model, streamed as it is made."""

import dataclasses
import secrets
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, AnyStr

import typer

import jaxrnn
from jaxrnn.config import SampleConfig
from jaxrnn.config.fields import FieldError
from jaxrnn.errors import VocabularyError
from jaxrnn_cli.display import console
from jaxrnn_cli.display.byte_text import characters_of
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.options.choices import ON_UNKNOWN, choice
from jaxrnn_cli.options.names import FromRun, OfCheckpoint
from jaxrnn_cli.options.numbers import integer, number
from jaxrnn_cli.options.standard_input import read_stdin, text_of_stdin
from jaxrnn_cli.startup.devices import Platform, start_jax

if TYPE_CHECKING:
    from jaxrnn.data import Ids, Vocabulary
    from jaxrnn.data.vocabulary import Text
    from jaxrnn.sampling import Block


def sample(
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed", "--prompt", metavar="TEXT", help="The text to continue; - reads standard input."
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "--max-new-tokens",
            metavar="N",
            parser=integer(),
            help="How many characters to write.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T", parser=number, help="Below 1 safer, above 1 wilder; 0 always takes the likeliest."
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            metavar="K", parser=integer(), help="Draw from the K likeliest characters only; 0: from all."
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=number,
            help="Draw from the likeliest characters that hold P of the probability.",
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=number,
            help="Draw from the characters at least P times as likely as the likeliest; 0: from all.",
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            parser=number,
            help="Make characters less likely that have occurred in the prompt or the sample; 1: do not.",
        ),
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="TEXT", help="End a sample where this text would begin.")
    ] = None,
    num_samples: Annotated[
        int,
        typer.Option(
            metavar="N", parser=integer(1, 65_536), help="How many samples to write, made together."
        ),
    ] = 1,
    rng_seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=integer(0, 2**32 - 1), help="Makes it repeatable.  [default: random]"
        ),
    ] = None,
    on_unknown: Annotated[
        str,
        choice(
            "--on-unknown",
            ON_UNKNOWN[1:],  # a trained model has no weights to give
            help="What to do about characters of the prompt that the model does not know: drop them, or refuse it.",
        ),
    ] = "error",
    show_probabilities: Annotated[
        bool,
        typer.Option(
            "--show-probabilities",
            help="Colour each character by its surprisal, on a terminal: the darker, the less likely it was.",
        ),
    ] = False,
    platform: Platform = None,
) -> None:
    """Write text with a trained model.

    The prompt is echoed, and new characters follow as they are made. What is not given here comes from the
    [sample] section of the run's config. A model of bytes writes bytes, as they are into a pipe or a file.
    """
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
    _merge(None, given, any_bytes=True)  # so that a mistake is told before anything is looked for
    start_jax(platform)

    found = jaxrnn.runs.find_run(run)
    if run is None:
        console.note(f"sampling from {found}, the newest run")
    note_checkpoint(found, checkpoint)
    config, vocabulary = jaxrnn.runs.read_config(found), jaxrnn.runs.read_vocabulary(found)
    if read is not None and vocabulary.tokens == "characters":
        given["prompt"] = text_of_stdin(read)
    options = _merge(config.sample, given, any_bytes=vocabulary.tokens == "bytes")
    ids = _read_prompt(vocabulary, given.get("prompt", options.prompt), drop=on_unknown == "drop")
    stop_text: Any = _read_stop(vocabulary, given.get("stop", options.stop))
    if rng_seed is None:
        rng_seed = secrets.randbelow(2**31)
        console.note(f"--rng-seed {rng_seed} writes this again")

    model = jaxrnn.load(found, checkpoint)
    is_painted = show_probabilities and console.can_paint()
    if show_probabilities:
        console.explain_surprisal(is_painted=is_painted)
    blocks = jaxrnn.sampling.sample(
        model.config,
        model.params,
        ids,
        length=options.length,
        **options.rules,
        num_samples=num_samples,
        rng_seed=rng_seed,
        separator_id=vocabulary.separator_id,
    )
    nats = [[0.0] * len(ids) if is_painted else [] for _ in range(num_samples)]  # the prompt has no surprisal
    texts = (_spell_block(vocabulary, block, nats if is_painted else None) for block in blocks)
    prompt: Any = jaxrnn.data.spell(vocabulary, ids)
    _print_samples(prompt, stop_text, texts, nats)


def _spell_block(vocabulary: "Vocabulary", block: "Block", nats: list[list[float]] | None) -> list[Any]:
    """Return each sample's block, text or bytes; the surprisal of its tokens is added to `nats`, if given."""
    for of_sample, new in zip(nats or (), block.nll.tolist(), strict=nats is not None):
        of_sample += new
    return [jaxrnn.data.spell(vocabulary, sample) for sample in block.ids]


def _merge(defaults: SampleConfig | None, given: dict[str, Any], *, any_bytes: bool) -> SampleConfig:
    """Returns the run's options with the given ones in their place; a bad one is named as it was typed.

    A config is Unicode. With `any_bytes`, texts may have bytes that are not, which are replaced in what is returned.
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
    """Returns the stop text; refuses one that can never be written, which would not stop anything."""
    try:
        return jaxrnn.sampling.stop_text(vocabulary, stop)
    except VocabularyError as error:
        raise VocabularyError(f"--stop can never match: {error}{_escape_hint(stop)}") from None


def _escape_hint(text: str) -> str:
    return "; in bash, $'\\n' is a newline" if "\\n" in text else ""


def _read_prompt(vocabulary: "Vocabulary", prompt: str, *, drop: bool) -> "Ids":
    """Returns the ids of the prompt, without the characters that the model does not know if they may be dropped.

    Raises:
        VocabularyError: The model does not know one of the characters, or with `drop` none of them.
    """
    try:
        return jaxrnn.sampling.prompt_ids(vocabulary, prompt)
    except VocabularyError as error:
        if not drop:
            message = f"the prompt can't be read: {error}; change it, or add --on-unknown drop"
            raise VocabularyError(message + _escape_hint(prompt)) from None
    unknown = {character for _, character in jaxrnn.data.unknown_characters(vocabulary, prompt)}
    known = "".join(character for character in prompt if character not in unknown)
    if not known:
        raise VocabularyError("the model knows none of the characters of the prompt; give another one")
    described = map(jaxrnn.data.describe_character, sorted(unknown))
    console.note(f"dropped from the prompt: {', '.join(described)}")
    return jaxrnn.sampling.prompt_ids(vocabulary, known)


def _print_samples(
    prompt: AnyStr, stop: AnyStr, blocks: Iterator[list[AnyStr]], nats: list[list[float]]
) -> None:
    """Streams the first sample to stdout and prints the others after it, with a header each on stderr."""
    num_samples = len(nats)
    others = [prompt[:0]] * (num_samples - 1)

    def first() -> Iterator[AnyStr]:
        for block in blocks:
            for i, new in enumerate(block[1:]):
                others[i] += new
            yield block[0]

    stream = first()
    _print_sample(1, prompt, jaxrnn.sampling.until(stream, stop), nats)
    while not all(stop and stop in text for text in others) and next(stream, None) is not None:
        pass  # the first sample has met its stop text, and others are still on their way
    for i, text in enumerate(others):
        _print_sample(i + 2, prompt, jaxrnn.sampling.until([text], stop), nats)


def _print_sample(number: int, prompt: AnyStr, pieces: Iterable[AnyStr], nats: list[list[float]]) -> None:
    """Prints one sample; what is known of its surprisal, which may be nothing, colours it."""
    if len(nats) > 1:
        console.note(f"sample {number} of {len(nats)}")
    text, surprisal = chain([prompt], pieces), nats[number - 1]
    shown = characters_of(text, surprisal) if isinstance(prompt, bytes) else _with_surprisal(text, surprisal)
    for piece, of_piece in shown:
        console.write_by_surprisal(piece, of_piece)
    console.write("\n")


def _with_surprisal(pieces: Iterable[str], nats: list[float]) -> Iterator[tuple[str, list[float]]]:
    done = 0
    for piece in pieces:
        yield piece, nats[done : done + len(piece)]
        done += len(piece)
