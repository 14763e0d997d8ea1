"""Evaluation of a run on a corpus; the result is a record for a table or JSON."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.config import Config, CorpusConfig
from jaxrnn.data.corpus import SPLITS, Corpus, hash_corpus, read_corpus, read_first, split_corpus
from jaxrnn.data.coverage import keep_known, split_whole
from jaxrnn.data.sources import find_source
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import Text, Vocabulary, display, spell
from jaxrnn.errors import CorpusError, DivergenceError, counted
from jaxrnn.evaluation import dynamic
from jaxrnn.evaluation.dynamic import Rates
from jaxrnn.evaluation.memorization import find_copied
from jaxrnn.evaluation.scored_text import ScoredText, find_known
from jaxrnn.evaluation.scoring import Scores, score_stateful, score_windows
from jaxrnn.models.stack import count_parameters
from jaxrnn.runs.checkpoint import load_params
from jaxrnn.runs.directory import RunRecord, read_config, read_record, read_vocabulary
from jaxrnn.runs.saved_steps import Which, find_step
from jaxrnn.sampling.generation import prompt_ids, sample
from jaxrnn.types import OnProgress
from jaxrnn.workflows.corpus import own_corpus, own_split
from jaxrnn.workflows.job import Note, OnNote, ignore

PROTOCOLS = ("stateful", "windows", "dynamic")
MOST = 5_000_000  # default number of tokens scored from a streamed corpus
_MORE = "--limit N scores more"
_STATISTICS = 50_000  # tokens sampled for gradient statistics if the training corpus is missing


class EvaluationOptions(NamedTuple):
    """The options of an evaluation."""

    protocols: tuple[str, ...]
    corpus: str | None
    window: int  # tokens, for windows
    segment: int  # tokens between two updates, for dynamic
    rates: Rates | None
    memorization: bool
    length: int  # tokens to sample, for memorization
    rng_seed: int
    limit: int | None = None  # maximal number of tokens to score
    checkpoint: Which = "best"  # the checkpoint to score, as for `jaxrnn.load`
    split: str = "validation"  # or "test": the split of the run to score if `corpus` is None
    on_event: OnNote = ignore  # receives a `Note` for each message to the user
    on_progress: OnProgress = lambda *_: None  # progress of downloads, tokenization and dynamic evaluation


class Evaluation(NamedTuple):
    """The result of an evaluation."""

    record: dict[str, Any]
    scored: ScoredText
    scores: Scores  # by the first protocol


class _Evaluated(NamedTuple):
    path: Path
    config: Config
    vocabulary: Vocabulary
    params: Any
    scored: ScoredText
    training: TokenSource | None  # None if not needed or not found


def evaluate_run(path: Path, options: EvaluationOptions) -> Evaluation:
    """Score a checkpoint of a run.

    Raises:
        JaxrnnError: The run or a corpus is missing or corrupt, or the corpus has no tokens to score.
        DivergenceError: A loss is not finite.
    """
    config, vocabulary = read_config(path), read_vocabulary(path)
    scored, training = _read_tokens(path, config, vocabulary, options)
    step = find_step(path, options.checkpoint).step
    params = load_params(path, config.model, vocabulary.size, options.checkpoint)
    run = _Evaluated(path, config, vocabulary, params, scored, training)
    results, first = {}, None
    for protocol in options.protocols:
        details, scores = _score(protocol, run, options)
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
        "tokens": scored.known.vocabulary.tokens,
        "sha256": scored.sha256,
        "scored_tokens": scored.num_scored,
        "scored_bytes": scored.num_bytes,
        "unseen_tokens": unseen,
        "unseen_share": unseen / scored.length,
        "unseen": scored.unseen,
    }


# The corpora.


def _read_tokens(
    path: Path, config: Config, vocabulary: Vocabulary, options: EvaluationOptions
) -> tuple[ScoredText, TokenSource | None]:
    """Return the corpus to score; and the training split, if it is needed and found."""
    record, fractions, split = read_record(path), config.corpus.held_out, SPLITS.index(options.split)
    corpus_config = replace(config.corpus, tokens=vocabulary.tokens)
    needs_training = options.memorization or "dynamic" in options.protocols
    scored = own = None
    if options.corpus is not None:
        given = _read_given(options.corpus, corpus_config, record, options)
        if given.sha256 == record.corpus_sha256 and fractions[split] > 0:
            own = given
            what = f"only its {options.split} split is scored"
            _note(f"{given.name} is the training corpus of {path}: {what}", options)
        else:
            scored = find_known(vocabulary, given.name, "whole", _limit(given.tokens, options))
    elif held_out := own_split(path, config, options.split, options.on_progress):
        scored = find_known(vocabulary, held_out.name, options.split, _limit(held_out.tokens, options))
    if scored is not None and not needs_training:
        return scored, None
    if own is None:
        try:
            own = own_corpus(path, config, options.on_progress)
        except CorpusError as error:
            if scored is None:
                remedy = "give one" if record.imported_from else "or name the run's corpus, or another one,"
                raise CorpusError(f"{error}; {remedy} with --corpus TEXT") from None
            _check_without_training(error, options)
            return scored, None
    if scored is None:
        part = split_whole(vocabulary, own, *fractions)[1 + split]
        scored = find_known(
            vocabulary, own.name, options.split, _limit(part, options, f" of the {options.split} split")
        )
    if not needs_training:
        return scored, None
    known = keep_known(vocabulary, own, on_progress=options.on_progress)
    return scored, split_corpus(known, *fractions)[0]


def _read_given(name: str, config: CorpusConfig, record: RunRecord, options: EvaluationOptions) -> Corpus:
    """Return the corpus of `--corpus`; only the beginning of a large one, unless it is the run's training corpus."""
    source = find_source(replace(config, text=name, streamed="auto"), on_progress=options.on_progress)
    if not source.is_streamed or hash_corpus(source, options.on_progress) == record.corpus_sha256:
        return read_corpus(source, on_progress=options.on_progress)
    corpus = read_first(source, options.limit or MOST)
    first = f"its first {len(corpus.tokens):,} {config.tokens} are scored"
    _note(f"{source.name} is large: {first}; {_MORE}", options)
    return corpus


def _limit(tokens: TokenSource, options: EvaluationOptions, part: str = "") -> TokenSource:
    """Return the tokens to score, at most `options.limit`."""
    most = min(len(tokens), options.limit or (MOST if tokens.file else len(tokens)))
    if tokens.file and most < len(tokens):
        kind = tokens.vocabulary.tokens
        _note(f"of the {len(tokens):,} {kind}{part}, the first {most:,} are scored; {_MORE}", options)
    return tokens.part(0, most)


def _note(message: str, options: EvaluationOptions) -> None:
    options.on_event(Note(message))


def _check_without_training(error: Exception, options: EvaluationOptions) -> None:
    if options.memorization:
        raise CorpusError(f"{error}; --memorization needs the run's training corpus") from None
    if "dynamic" in options.protocols and options.rates is None:
        raise CorpusError(
            f"{error}; dynamic evaluation chooses its rates on the run's training corpus: "
            "give --dynamic-rate and --dynamic-decay"
        ) from None


# The protocols.


def _score(protocol: str, run: _Evaluated, options: EvaluationOptions) -> tuple[dict[str, Any], Scores]:
    known = run.scored.known
    match protocol:
        case "stateful":
            return {}, score_stateful(run.config.model, run.params, known)
        case "windows":
            scores = score_windows(run.config.model, run.params, known, options.window)
            return {"window": options.window}, scores
        case _:
            return _score_dynamic(run, options)


def _score_dynamic(run: _Evaluated, options: EvaluationOptions) -> tuple[dict[str, Any], Scores]:
    model, params, segment = run.config.model, run.params, options.segment
    source, training = "training text", run.training
    if training is None:
        written = _write(run, _STATISTICS, 32, options.rng_seed)
        source, training = "text that the model wrote", in_memory(run.vocabulary, written)
    if len(training) < 2:
        raise CorpusError(
            f"{run.path}: a training text of {counted(len(training), run.vocabulary.unit)} is too short to adapt by"
        )
    rms = dynamic.gradient_rms(model, params, training, segment)
    rates, trials = options.rates, []
    if rates is None:
        trials = dynamic.tune(model, params, training, rms, segment, options.on_progress)
        rates = trials[0].rates
    scores = dynamic.score_dynamic(model, params, run.scored.known, rms, rates, segment, options.on_progress)
    tried = [{**trial.rates._asdict(), "nll": _finite(trial.nll)} for trial in trials]
    return {
        "segment": segment,
        **rates._asdict(),
        "rates_from": "the end of the training text" if trials else "the command line",
        "statistics_from": source,
        "tried": tried,
    }, scores


def _means(protocol: str, run: _Evaluated, scores: Scores) -> dict[str, Any]:
    if not math.isfinite(scores.mean_nll):
        why = "its parameters are not usable, the training run diverged"
        if protocol == "dynamic":
            why = "the adapted weights diverged; try a smaller --dynamic-rate"
        raise DivergenceError(f"{run.path}: the {protocol} loss is not finite: {why}")
    return {
        "nll": scores.mean_nll,
        "bits_per_token": scores.bits_per_token,
        "bits_per_byte": scores.bits_per_token * scores.nll.size / run.scored.num_bytes,
        "perplexity": _finite(scores.perplexity),
        "top1_accuracy": scores.top1_accuracy,
    }


def _finite(value: float) -> float | None:
    """Return the number, or None if it is not finite, which JSON can't represent."""
    return value if math.isfinite(value) else None


# Samples.


def _write(run: _Evaluated, length: int, num_samples: int, rng_seed: int) -> np.ndarray:
    """Return the ids of samples at temperature 1, concatenated."""
    blocks = sample(
        run.config.model,
        run.params,
        prompt_ids(run.vocabulary, "\n"),
        length=-(-length // num_samples),
        num_samples=num_samples,
        rng_seed=rng_seed,
        separator_id=run.vocabulary.separator_id,
    )
    return np.concatenate([block.ids for block in blocks], axis=1).reshape(-1)[:length].astype(np.uint16)


def _memorization(run: _Evaluated, options: EvaluationOptions) -> dict[str, Any]:
    """Return how much of a sample, and of an equally long part of the scored corpus, is in the training split."""
    assert run.training is not None
    texts = {
        "sample": _write(run, options.length, 1, options.rng_seed),
        "scored_text": run.scored.known.read()[: options.length],
    }
    record: dict[str, Any] = {"rng_seed": options.rng_seed, "training_tokens": len(run.training)}
    for name, ids in texts.items():
        found = find_copied(ids, run.training)
        record[name] = {
            "length": len(ids),
            "shares": {str(n): share for n, share in found.shares.items()},
            "longest_length": found.longest,
            "longest": display(run.vocabulary, ids[found.start : found.start + found.longest]),
        }
    return record


# For other commands.


def validation_text(run: Path, most: int, *, on_progress: OnProgress = lambda *_: None) -> Text:
    """Return the validation split of a run, or its whole corpus if it has no validation split.

    Args:
        run: The run directory.
        most: Maximal number of tokens from a streamed corpus.
        on_progress: Receives the progress of downloads and tokenization.

    Raises:
        CorpusError: The run's corpus is not found.
    """
    config, vocabulary = read_config(run), read_vocabulary(run)
    if held_out := own_split(run, config, "validation", on_progress):
        tokens = held_out.tokens
    else:
        corpus = own_corpus(run, config, on_progress)
        tokens = split_whole(vocabulary, corpus, *config.corpus.held_out)[1] or corpus.tokens
    return spell(tokens.vocabulary, tokens.read(0, min(most, len(tokens)) if tokens.file else None))
