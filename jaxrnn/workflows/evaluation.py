"""A run scored on a corpus, as a record that goes into a table or into JSON."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.config import Config
from jaxrnn.data.cache import TokenFile
from jaxrnn.data.corpus import Corpus, read_corpus
from jaxrnn.data.excerpts import first_part, split_excerpts
from jaxrnn.data.finding import find_text
from jaxrnn.data.sources import find_source, is_streamed
from jaxrnn.data.texts import readable
from jaxrnn.data.tokenizing import hash_text, tokenise
from jaxrnn.data.vocabulary import Text, Vocabulary, encode, spell
from jaxrnn.errors import CorpusError, DivergenceError
from jaxrnn.evaluation import dynamic
from jaxrnn.evaluation.dynamic import Rates
from jaxrnn.evaluation.memorization import find_copied
from jaxrnn.evaluation.scored_text import ScoredText, held_out_text, split_text, whole_text
from jaxrnn.evaluation.scoring import Scores, score_stateful, score_windows
from jaxrnn.models.stack import count_parameters
from jaxrnn.runs.checkpoint import load_params
from jaxrnn.runs.directory import read_record
from jaxrnn.runs.loading import read_resolved
from jaxrnn.runs.saved_steps import find_step
from jaxrnn.sampling.generation import prompt_ids, sample
from jaxrnn.types import OnProgress
from jaxrnn.workflows.job import Note, OnNote, check_has_corpus, ignore

PROTOCOLS = ("stateful", "windows", "dynamic")
MOST = 5_000_000  # characters that are scored of a text too large to be in memory
_MORE = "--limit N scores more"
_STATISTICS = 50_000  # characters that the model writes to stand in for its training text


class EvaluationOptions(NamedTuple):
    """What the command line asks for."""

    protocols: tuple[str, ...]
    corpus: str | None
    window: int
    segment: int
    rates: Rates | None
    memorization: bool
    length: int  # of the text that the model writes for it
    rng_seed: int
    limit: int | None = None  # tokens to score at most
    on_event: OnNote = ignore  # gets a `Note` for what a user should know
    on_progress: OnProgress = lambda *_: None  # told how downloads, tokenization and dynamic evaluation go


class Evaluation(NamedTuple):
    """What is found out about a run."""

    record: dict[str, Any]
    scored: ScoredText
    scores: Scores  # by the first protocol


class _Run(NamedTuple):
    path: Path
    config: Config
    vocabulary: Vocabulary
    params: Any
    scored: ScoredText
    training: Text | None  # None where it is not needed, or not at hand


def evaluate_run(path: Path, options: EvaluationOptions) -> Evaluation:
    """Scores a run by its best checkpoint.

    Raises:
        JaxrnnError: The run or a text is missing or damaged, or there is nothing to score.
        DivergenceError: A loss is not finite.
    """
    config, vocabulary = read_resolved(path)
    scored, training = _read_texts(path, config, vocabulary, options)
    step = find_step(path, "best").step
    params = load_params(path, config.model, vocabulary.size)
    run = _Run(path, config, vocabulary, params, scored, training)
    ids = encode(vocabulary, scored.known)
    results, first = {}, None
    for protocol in options.protocols:
        details, scores = _score(protocol, run, ids, options)
        results[protocol] = details | _means(protocol, run, scores)
        first = first or scores
    assert first is not None
    record: dict[str, Any] = {
        "run": str(path),
        "step": step,
        "parameters": count_parameters(params),
        "text": _describe(scored),
        "protocols": results,
    }
    if options.memorization:
        record["memorization"] = _memorization(run, options)
    return Evaluation(record, scored, first)


def _describe(scored: ScoredText) -> dict[str, Any]:
    unseen = sum(scored.unseen.values())
    return {
        "corpus": scored.name,
        "part": scored.part,
        "tokens": "bytes" if isinstance(scored.text, bytes) else "characters",
        "sha256": scored.sha256,
        "scored_tokens": scored.num_scored,
        "scored_bytes": scored.num_bytes,
        "unseen_tokens": unseen,
        "unseen_share": unseen / len(scored.text),
        "unseen": scored.unseen,
    }


# The texts.


def _read_texts(
    path: Path, config: Config, vocabulary: Vocabulary, options: EvaluationOptions
) -> tuple[ScoredText, Text | None]:
    """The text to score, and the training text where it is needed and found."""
    record = read_record(path)
    fraction, tokens = config.corpus.validation_fraction, vocabulary.tokens
    separator = config.corpus.separator
    given: Corpus | None = None
    own: Corpus | TokenFile | None = None
    if options.corpus is not None:
        source = find_source(options.corpus, report=options.on_progress)
        if not is_streamed("auto", source):
            given = read_corpus(source, tokens, separator)
            own = given if given.sha256 == record.corpus_sha256 and fraction > 0 else None
        elif (
            hash_text(source, tokens, separator, report=options.on_progress) == record.corpus_sha256
            and fraction > 0
        ):
            own = tokenise(source, tokens, separator, report=options.on_progress)
        else:
            given = first_part(source, tokens, options.limit or MOST, separator)
            _say(
                f"{source.name} is large: its first {len(given.text):,} {tokens} are scored; {_MORE}",
                options,
            )
    if own is not None:
        _say(
            f"{options.corpus} is what {path} learned from: only the end that it held out is scored",
            options,
        )
        return _split(path, own, config, vocabulary, options)
    scored = None
    if given is not None:
        scored = whole_text(vocabulary, given._replace(text=given.text[: options.limit]))
        if not (options.memorization or "dynamic" in options.protocols):
            return scored, None
    try:
        check_has_corpus(path)
        streamed = config.corpus.streamed
        if options.memorization and streamed == "always":
            streamed = "auto"  # needs the text itself, which may well be small
        own = find_text(
            [config.corpus.text, record.corpus_path],
            record.corpus_sha256,
            tokens,
            streamed,
            separator,
            report=options.on_progress,
            tokenising=options.on_progress,
        )
    except CorpusError as error:
        if scored is None:
            remedy = "give one" if record.imported_from else "or say where the run's text is, or another,"
            raise CorpusError(f"{error}; {remedy} with --corpus TEXT") from None
        _check_without_training(error, options)
        return scored, None
    held_out, training = _split(path, own, config, vocabulary, options, scored)
    return scored or held_out, training


def _split(
    path: Path,
    own: Corpus | TokenFile,
    config: Config,
    vocabulary: Vocabulary,
    options: EvaluationOptions,
    scored: ScoredText | None = None,
) -> tuple[ScoredText, Text]:
    """What a run held out, unless something else is scored, and what it was trained on; of a large text, parts."""
    fraction = config.corpus.validation_fraction
    if isinstance(own, Corpus):
        training, held_out = split_text(vocabulary, own, fraction)
    else:
        name = read_record(path).corpus
        if options.memorization:
            raise CorpusError(
                f"{name}: is too large for --memorization, which has all of a training text in memory"
            )
        most = options.limit or MOST
        training, held_out, _, length = split_excerpts(vocabulary, own, fraction, most)
        if length > most and scored is None:
            _say(
                f"of the {length:,} {vocabulary.tokens} held out, the first {most:,} are scored; {_MORE}",
                options,
            )
        own = Corpus(name, Path(), held_out, own.text_sha256)
    return scored or held_out_text(vocabulary, own, held_out[: options.limit]), training


def _say(message: str, options: EvaluationOptions) -> None:
    options.on_event(Note(message))


def _check_without_training(error: Exception, options: EvaluationOptions) -> None:

    if options.memorization:
        raise CorpusError(f"{error}; --memorization needs the run's training text") from None
    if "dynamic" in options.protocols and options.rates is None:
        raise CorpusError(
            f"{error}; dynamic evaluation chooses its rates on the run's training text: "
            "give --dynamic-rate and --dynamic-decay"
        ) from None


# The protocols.


def _score(
    protocol: str, run: _Run, ids: np.ndarray, options: EvaluationOptions
) -> tuple[dict[str, Any], Scores]:

    match protocol:
        case "stateful":
            return {}, score_stateful(run.config.model, run.params, ids)
        case "windows":
            scores = score_windows(run.config.model, run.params, ids, options.window)
            return {"window": options.window}, scores
        case _:
            return _score_dynamic(run, ids, options)


def _score_dynamic(run: _Run, ids: np.ndarray, options: EvaluationOptions) -> tuple[dict[str, Any], Scores]:

    model, params, segment = run.config.model, run.params, options.segment
    if run.training is None:
        source, train_ids = "text that the model wrote", _write(run, _STATISTICS, 32, options.rng_seed)
    else:
        source, train_ids = "training text", encode(run.vocabulary, run.training)
    if len(train_ids) < 2:
        raise CorpusError(
            f"{run.path}: a training text of {len(train_ids)} {run.vocabulary.tokens} is too short to adapt by"
        )
    rms = dynamic.gradient_rms(model, params, train_ids, segment)
    rates, trials = options.rates, []
    if rates is None:
        trials = dynamic.tune(model, params, train_ids, rms, segment, options.on_progress)
        rates = trials[0].rates
    scores = dynamic.score_dynamic(model, params, ids, rms, rates, segment, options.on_progress)
    tried = [{**trial.rates._asdict(), "nll": _finite(trial.nll)} for trial in trials]
    return {
        "segment": segment,
        **rates._asdict(),
        "rates_from": "the end of the training text" if trials else "the command line",
        "statistics_from": source,
        "tried": tried,
    }, scores


def _means(protocol: str, run: _Run, scores: Scores) -> dict[str, Any]:
    if not math.isfinite(scores.mean_nll):
        why = "its parameters are no good, the training diverged"
        if protocol == "dynamic":
            why = "the weights ran away; try a smaller --dynamic-rate"
        raise DivergenceError(f"{run.path}: the {protocol} loss is not finite: {why}")
    return {
        "nll": scores.mean_nll,
        "bits_per_token": scores.bits_per_token,
        "bits_per_byte": scores.bits_per_token * scores.nll.size / run.scored.num_bytes,
        "perplexity": _finite(scores.perplexity),
        "top1_accuracy": scores.top1_accuracy,
    }


def _finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


# What the model writes.


def _write(run: _Run, length: int, num_samples: int, rng_seed: int) -> np.ndarray:
    """The ids of text in the model's own words, at temperature 1, its samples one after the other."""
    blocks = sample(
        run.config.model,
        run.params,
        prompt_ids(run.vocabulary, "\n"),
        length=-(-length // num_samples),
        num_samples=num_samples,
        rng_seed=rng_seed,
    )
    return np.concatenate([block.ids for block in blocks], axis=1).reshape(-1)[:length].astype(np.uint16)


def _memorization(run: _Run, options: EvaluationOptions) -> dict[str, Any]:
    """What stands in the training text of what the model writes, and of as much of the text that is scored."""
    source = encode(run.vocabulary, run.training or "")
    texts = {
        "sample": _write(run, options.length, 1, options.rng_seed),
        "scored_text": encode(run.vocabulary, run.scored.known[: options.length]),
    }
    record: dict[str, Any] = {"rng_seed": options.rng_seed, "training_tokens": len(source)}
    for name, ids in texts.items():
        found = find_copied(ids, source)
        longest = spell(run.vocabulary, ids[found.start : found.start + found.longest])
        record[name] = {
            "length": len(ids),
            "shares": {str(n): share for n, share in found.shares.items()},
            "longest_length": found.longest,
            "longest": readable(longest) if isinstance(longest, bytes) else longest,
        }
    return record


# For other commands.


def validation_text(run: Path, most: int, *, on_progress: OnProgress = lambda *_: None) -> Text:
    """Return the validation split of a run; the end of its training split where nothing is held out.

    Args:
        run: the run directory.
        most: tokens of a corpus that is streamed from disk.
        on_progress: told how downloads and tokenization go.

    Raises:
        CorpusError: The run's corpus is not found.
    """
    (config, vocabulary), record = read_resolved(run), read_record(run)
    check_has_corpus(run)
    found = find_text(
        [config.corpus.text, record.corpus_path],
        record.corpus_sha256,
        vocabulary.tokens,
        config.corpus.streamed,
        config.corpus.separator,
        report=on_progress,
        tokenising=on_progress,
    )
    fraction = config.corpus.validation_fraction
    if isinstance(found, Corpus):
        training, held_out = split_text(vocabulary, found, fraction)
    else:
        training, held_out, _, _ = split_excerpts(vocabulary, found, fraction, most)
    return held_out or training
