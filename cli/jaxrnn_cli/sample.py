"""`jaxrnn sample`: text from a trained model, streamed as it is made."""

import dataclasses
import secrets
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, AnyStr

import typer

from jaxrnn_cli import console
from jaxrnn_cli.byte_text import characters_of
from jaxrnn_cli.jax_start import Platform, start_jax
from jaxrnn_cli.names import FromRun
from jaxrnn_cli.numbers import integer, number
from jaxrnn_cli.standard_input import read_stdin, text_of_stdin

if TYPE_CHECKING:
    from jaxrnn.config import SampleConfig
    from jaxrnn.data.vocabulary import Ids, Vocabulary


def sample(
    run: FromRun = None,
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
        typer.Option(
            metavar="error|skip",
            help="What to do about characters of the seed that the model does not know.",
            autocompletion=lambda: ["error", "skip"],
        ),
    ] = "error",
    show_probabilities: Annotated[
        bool,
        typer.Option(
            "--show-probabilities",
            help="Colour each character by its surprise, on a terminal: the darker, the less likely it was.",
        ),
    ] = False,
    platform: Platform = None,
) -> None:
    """Write text with a trained model.

    The seed is echoed, and new characters follow as they are made. What is not given here comes from the
    [sample] section of the run's config. A model of bytes writes bytes, as they are into a pipe or a file.
    """
    if on_unknown not in ("error", "skip"):
        raise typer.BadParameter(f"{on_unknown!r} is neither error nor skip", param_hint="'--on-unknown'")

    from jaxrnn.data.vocabulary import in_tokens, spell
    from jaxrnn.runs.checkpoint import load_params
    from jaxrnn.runs.directory import find_run
    from jaxrnn.runs.loading import read_resolved
    from jaxrnn.sampling import generation

    read = read_stdin() if seed == "-" else None
    given: dict[str, Any] = {
        "prompt": seed if read is None else read.decode("utf-8", "surrogateescape"),
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop,
    }
    given = {key: value for key, value in given.items() if value is not None}
    _merge(None, given, any_bytes=True)  # so that a mistake is told before anything is looked for
    start_jax(platform)

    found = find_run(run)
    if run is None:
        console.note(f"sampling from {found}, the newest run")
    config, vocabulary = read_resolved(found)
    if read is not None and vocabulary.tokens == "characters":
        given["prompt"] = text_of_stdin(read)
    options = _merge(config.sample, given, any_bytes=vocabulary.tokens == "bytes")
    ids = _read_seed(vocabulary, given.get("prompt", options.prompt), skip=on_unknown == "skip")
    if rng_seed is None:
        rng_seed = secrets.randbelow(2**31)
        console.note(f"--rng-seed {rng_seed} writes this again")

    params = load_params(found, config.model, vocabulary.size)
    is_painted = show_probabilities and console.can_paint()
    if show_probabilities:
        console.explain_surprise(is_painted=is_painted)
    generate = generation.sample_with_surprise if is_painted else generation.sample
    blocks = generate(
        config.model,
        params,
        ids,
        length=options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        num_samples=num_samples,
        rng_seed=rng_seed,
    )
    # The seed surprises nobody.
    nats = [[0.0] * len(ids) if is_painted else [] for _ in range(num_samples)]
    texts = (_spell_block(vocabulary, block, nats) for block in blocks)
    seed_text: Any = spell(vocabulary, ids)
    _print_samples(seed_text, in_tokens(vocabulary, given.get("stop", options.stop)), texts, nats)


def _spell_block(
    vocabulary: "Vocabulary", block: "Ids | tuple[Ids, Any]", nats: list[list[float]]
) -> list[Any]:
    """Returns each sample's block, text or bytes; the surprise of its tokens, if known, is added to `nats`."""
    from jaxrnn.data.vocabulary import spell

    if isinstance(block, tuple):
        block, surprise = block
        for of_sample, new in zip(nats, surprise.tolist(), strict=True):
            of_sample += new
    return [spell(vocabulary, sample) for sample in block]


def _merge(defaults: "SampleConfig | None", given: dict[str, Any], *, any_bytes: bool) -> "SampleConfig":
    """Returns the run's options with the given ones in their place; a bad one is named as it was typed.

    A config is Unicode. With `any_bytes`, texts may have bytes that are not, which are replaced in what is returned.
    """
    from jaxrnn.config import SampleConfig
    from jaxrnn.config.fields import FieldError

    if any_bytes:
        given = {
            key: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for key, value in given.items()
        }
    try:
        return dataclasses.replace(defaults or SampleConfig(), **given)
    except FieldError as error:
        raise FieldError("--" + error.key.replace("_", "-"), error.problem, error.value) from None


def _read_seed(vocabulary: "Vocabulary", seed: str, *, skip: bool) -> "Ids":
    """Returns the ids of the seed, without the characters that the model does not know if they may be skipped.

    Raises:
        VocabularyError: The model does not know one of the characters, or with `skip` none of them.
    """
    from jaxrnn.data.vocabulary import describe_character, unknown_characters
    from jaxrnn.errors import VocabularyError
    from jaxrnn.sampling.generation import prompt_ids

    try:
        return prompt_ids(vocabulary, seed)
    except VocabularyError as error:
        if not skip:
            message = f"the seed can't be read: {error}; change it, or add --on-unknown skip"
            raise VocabularyError(message) from None
    unknown = {character for _, character in unknown_characters(vocabulary, seed)}
    known = "".join(character for character in seed if character not in unknown)
    if not known:
        raise VocabularyError("the model knows none of the characters of the seed; give another text")
    console.note(f"left out of the seed: {', '.join(map(describe_character, sorted(unknown)))}")
    return prompt_ids(vocabulary, known)


def _print_samples(
    seed: AnyStr, stop: AnyStr, blocks: Iterator[list[AnyStr]], nats: list[list[float]]
) -> None:
    """Streams the first sample to stdout and prints the others after it, with a header each on stderr."""
    num_samples = len(nats)
    others = [seed[:0]] * (num_samples - 1)

    def first() -> Iterator[AnyStr]:
        for block in blocks:
            for i, new in enumerate(block[1:]):
                others[i] += new
            yield block[0]

    stream = first()
    _print_sample(1, seed, until(stream, stop), nats)
    while not all(stop and stop in text for text in others) and next(stream, None) is not None:
        pass  # the first sample has met its stop text, and others are still on their way
    for i, text in enumerate(others):
        _print_sample(i + 2, seed, until([text], stop), nats)


def _print_sample(number: int, seed: AnyStr, pieces: Iterable[AnyStr], nats: list[list[float]]) -> None:
    """Prints one sample; what is known of its surprise, which may be nothing, colours it."""
    if len(nats) > 1:
        console.note(f"sample {number} of {len(nats)}")
    text, surprise = chain([seed], pieces), nats[number - 1]
    shown = characters_of(text, surprise) if isinstance(seed, bytes) else _with_surprise(text, surprise)
    for piece, of_piece in shown:
        console.write_by_surprise(piece, of_piece)
    console.write("\n")


def _with_surprise(pieces: Iterable[str], nats: list[float]) -> Iterator[tuple[str, list[float]]]:
    done = 0
    for piece in pieces:
        yield piece, nats[done : done + len(piece)]
        done += len(piece)


def until(blocks: Iterable[AnyStr], stop: AnyStr) -> Iterator[AnyStr]:
    """Yields the text of `blocks` up to where `stop` begins, as early as it is certain; all of it for "".

    `stop` may lie across blocks, so what could be its beginning is held back until the next block tells.
    """
    held = stop[:0]
    for block in blocks:
        held += block
        if not stop:
            yield held
            held = stop[:0]
            continue
        before, found, _ = held.partition(stop)
        if found:
            yield before
            return
        keep = next(k for k in range(min(len(stop) - 1, len(held)), -1, -1) if held.endswith(stop[:k]))
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held
