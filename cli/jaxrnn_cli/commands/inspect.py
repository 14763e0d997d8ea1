"""`jaxrnn inspect`: an HTML page with the activations of a trained model on a text."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import jaxrnn
from jaxrnn.disk import user_path
from jaxrnn.errors import CorpusError, VocabularyError
from jaxrnn_cli.display import console
from jaxrnn_cli.display.checkpoint import note_checkpoint
from jaxrnn_cli.display.numbers import format_bytes
from jaxrnn_cli.display.progress import progress_display
from jaxrnn_cli.options.names import FromRun, OfCheckpoint, complete_run, name_runs
from jaxrnn_cli.options.numbers import integer
from jaxrnn_cli.options.output import OverwriteFile, check_output, write_output
from jaxrnn_cli.options.standard_input import read_stdin, text_of_stdin
from jaxrnn_cli.startup.devices import Platform, start_jax

if TYPE_CHECKING:
    from jaxrnn.config import LayerConfig
    from jaxrnn.data import Text
    from jaxrnn.inspection import Levels
    from jaxrnn.models import LanguageModel

_LONGEST = 20_000
_READ = 50 * _LONGEST  # characters read from a file: enough even if many are not in the vocabulary


def inspect(
    run: FromRun = None,
    checkpoint: OfCheckpoint = "best",
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The text to read.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="F", parser=user_path, help="A file with the text to read; - reads standard input."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=integer(1, _LONGEST),
            help="Inspect a sample of N characters from the model.",
        ),
    ] = None,
    length: Annotated[
        int,
        typer.Option(metavar="N", parser=integer(2, _LONGEST), help="Read at most N characters of the text."),
    ] = 2000,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Compare the surprisal and the gradient flow with those of another run; may be repeated.",
            autocompletion=complete_run,
        ),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX",
            help="Rank the units that follow the matches of a regular expression; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", parser=user_path, help="The output file.  [default: RUN's name.html]"
        ),
    ] = None,
    overwrite: OverwriteFile = False,
    rng_seed: Annotated[
        int, typer.Option(metavar="N", parser=integer(0, 2**32 - 1), help="--sample: the RNG seed.")
    ] = 0,
    platform: Platform = None,
) -> None:
    """Write an HTML page about the activations of a trained model on a text.

    The page needs neither a network nor other files. It shows the surprisal of each character and the most likely
    characters, which earlier characters a probability depends on, a heat map of every unit of every layer, units that
    correlate with patterns in the text, the loss without each unit, the gradient norm by distance, and saturated
    gates. The default text is the start of the validation split.
    """
    given = [
        name
        for name, value in (("--text", text), ("--file", file), ("--sample", sample))
        if value is not None
    ]
    if len(given) > 1:
        raise typer.BadParameter(f"give {' or '.join(given)}, not both", param_hint=f"'{given[1]}'")

    patterns = [_compile(each) for each in pattern or ()]
    found = jaxrnn.runs.find_run(run)
    if run is None:
        console.note(f"inspecting {found}, the newest run")
    others = [jaxrnn.runs.find_run(name) for name in compare or ()]
    page = output or Path(f"{found.resolve().name}.html")
    inputs = [path for each in (found, *others) for path in jaxrnn.runs.files_read(each)]
    check_output(page, [*inputs, *([file] if file and file.is_file() else [])], overwrite=overwrite)
    for path in (found, *others):
        note_checkpoint(path, checkpoint)
    start_jax(platform)
    names = name_runs([found, *others])
    inspected, *compared = (jaxrnn.load(path, checkpoint)._replace(name=name) for path, name in names.items())
    tokens = inspected.vocabulary.tokens
    for other in compared:
        if other.vocabulary.tokens != tokens:
            problem = f"{other.name} reads {other.vocabulary.tokens}, {inspected.name} {tokens}"
            raise typer.BadParameter(f"{problem}; name runs of the same tokens", param_hint="'--compare'")
    read = _choose_text(inspected, found, text, file, sample, rng_seed)
    kept = _keep(inspected, read, sample or length)
    inspection = jaxrnn.inspection.inspect(inspected, kept, compared, patterns)
    about = {
        "layers": ", ".join(_describe(layer) for layer in inspected.config.layers),
        "parameters": f"{jaxrnn.models.count_parameters(inspected.params):,}",
        tokens: f"{len(kept):,}",
    }
    if len(kept) > 1:
        nats = float(inspection.activity.nll.mean())
        about["surprisal"] = f"{nats:.3f} nats per {inspected.vocabulary.unit}"
    seq_lens = {
        name: jaxrnn.runs.read_config(path).train.seq_len
        for path, name in names.items()
        if not jaxrnn.runs.read_record(path).imported_from
    }
    html, levels = jaxrnn.inspection.render(inspected, inspection, about, seq_lens)
    write_output(page, html)
    if note := _describe_levels(levels):
        console.note(note)
    console.note(f"{page}: {format_bytes(len(html.encode()))}; open it in a browser")


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        problem = f"{pattern!r} is not a regular expression: {error}"
        raise typer.BadParameter(problem, param_hint="'--pattern'") from None


def _describe_levels(levels: "Levels") -> str:
    """Return a note about values that the page has in fewer than 255 shades, or not at all."""
    names = ("ranked units", "gates of ranked units", "other states", "other gates")
    left_out = [name for name, count in zip(names, levels, strict=True) if count == 0]
    coarse = [f"{name} {count} shades" for name, count in zip(names, levels, strict=True) if 0 < count < 255]
    parts = [*coarse, *([f"left out {', '.join(left_out)}"] if left_out else [])]
    return f"to keep the page under 2 MB: {'; '.join(parts)}; a shorter --length shows more" if parts else ""


def _choose_text(
    inspected: "LanguageModel",
    run: Path,
    text: str | None,
    file: Path | None,
    sample: int | None,
    rng_seed: int,
) -> "Text":
    tokens = inspected.vocabulary.tokens
    if text is not None:
        if not text:
            raise typer.BadParameter("the text is empty; give a text", param_hint="'--text'")
        if tokens == "bytes":
            return jaxrnn.data.in_tokens(inspected.vocabulary, text)
        return text.replace("\r\n", "\n").replace("\r", "\n")
    if str(file) == "-":
        if not (read := read_stdin()):
            raise CorpusError("standard input is empty; give a text")
        return read if tokens == "bytes" else text_of_stdin(read)
    if file is not None:
        if not file.exists():
            raise CorpusError(f"{file}: not found; check the path")
        if file.is_dir():
            raise CorpusError(f"{file}: a directory; give a text file")
        name = str(file) if file.is_absolute() or str(file).startswith(".") else f"./{file}"
        return jaxrnn.data.read_start(name, tokens, _READ)
    if sample is not None:
        return _write_sample(inspected, run, sample, rng_seed)
    return _validation_text(run)


def _write_sample(inspected: "LanguageModel", run: Path, length: int, rng_seed: int) -> "Text":
    options = jaxrnn.runs.read_config(run).sample
    text = jaxrnn.generate(
        inspected,
        length=length,
        **options.rules,
        rng_seed=rng_seed,
    )
    return jaxrnn.data.in_tokens(inspected.vocabulary, text)


def _validation_text(run: Path) -> "Text":
    try:
        with progress_display(quiet=False) as on_progress:
            return jaxrnn.workflows.validation_text(run, _READ, on_progress=on_progress)
    except CorpusError as error:
        raise CorpusError(f"{error}; or give a text with --text, --file or --sample") from None


def _keep(inspected: "LanguageModel", text: "Text", length: int) -> "Text":
    """Return the first `length` characters that are in the vocabulary; print a note if others are left out."""
    unknown = jaxrnn.data.count_unknown(inspected.vocabulary, text[:length])
    known = jaxrnn.data.drop_unknown(inspected.vocabulary, text)
    if not known:
        raise VocabularyError("no character of the text is in the vocabulary; give another text")
    if unknown:
        names = ", ".join(map(jaxrnn.data.describe_character, list(unknown)[:5]))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        console.note(f"left out, not in the vocabulary: {names}{more}")
    if len(known) > length:
        tokens = inspected.vocabulary.tokens
        console.note(f"reading the first {length:,} of {len(known):,} {tokens}; --length reads more")
    return known[:length]


def _describe(layer: "LayerConfig") -> str:
    size, cell = getattr(layer, "size", None), getattr(layer, "cell", None)
    return layer.type + (f" ({cell})" if cell else "") + (f" {size}" if size else "")
