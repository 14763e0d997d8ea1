"""One run scored on one text, as a record that goes into a table or into JSON."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxrnn_cli import console

if TYPE_CHECKING:
    import numpy as np

    from jaxrnn.config import Config
    from jaxrnn.dynamic import Rates
    from jaxrnn.scoring import Scores
    from jaxrnn.vocabulary import Vocabulary

_WRITTEN = 20_000  # characters that the model writes for the report on memorisation
_SAMPLES = 20  # in so many texts


class Options(NamedTuple):
    """What the command line asks for."""

    protocols: tuple[str, ...]
    window: int
    rates: "Rates | None"
    corpus: str | None
    memorisation: bool
    rng_seed: int
    quiet: bool


class Texts(NamedTuple):
    """What a run is scored on, and what it learned from."""

    name: str
    part: str  # "held out", or "whole"
    text: str  # without what the model does not know
    unseen: dict[str, int]  # how often each character occurs that it does not
    training: str | None  # None where it is not needed


def evaluate_run(run: Path, options: Options) -> "tuple[dict[str, Any], str, Scores]":
    """Scores a run.

    Returns:
        What goes into the report; the text that was scored, and its scores by the first protocol.

    Raises:
        JaxrnnError: There is no such run or text, or nothing in it to score.
    """
    from jaxrnn.checkpoint import load_params
    from jaxrnn.run_directory import read_config, read_vocabulary
    from jaxrnn.saved_steps import find_step
    from jaxrnn.vocabulary import encode

    config, vocabulary = read_config(run), read_vocabulary(run)
    texts = _read_texts(run, config, vocabulary, options)
    ids = encode(vocabulary, texts.text)
    params = load_params(run, config.model, vocabulary.size)
    size = len(texts.text[1:].encode("utf-8"))
    all_scores = []
    results = []
    for protocol in options.protocols:
        details, scores = _score(protocol, config, params, ids, texts, vocabulary, options)
        all_scores.append(scores)
        results.append({"protocol": protocol, **details, **_means(scores, size, run)})
    record = {
        "run": str(run),
        "step": find_step(run, "best").step,
        "corpus": texts.name,
        "part": texts.part,
        "characters_scored": len(ids) - 1,
        "bytes_scored": size,
        "unseen": texts.unseen,
        "results": results,
    }
    if options.memorisation:
        record["memorisation"] = _memorisation(config, params, vocabulary, texts, options)
    return record, texts.text, all_scores[0]


def _read_texts(run: Path, config: "Config", vocabulary: "Vocabulary", options: Options) -> Texts:
    from jaxrnn.corpus import find_corpus, load_corpus, split_lengths
    from jaxrnn.errors import CorpusError
    from jaxrnn.run_directory import read_record
    from jaxrnn.texts import shown
    from jaxrnn.vocabulary import count_unknown, drop_unknown

    record = read_record(run)
    adapts = "dynamic" in options.protocols
    training: str | None = None
    with console.download_display(quiet=options.quiet) as report:
        if options.corpus is None or adapts or options.memorisation:
            try:
                own = find_corpus(
                    [config.corpus.text, record.corpus_path], record.corpus_sha256, report=report
                )
            except CorpusError as error:
                what = (
                    "the run's own text is needed"
                    if options.corpus
                    else "or score another text with --corpus TEXT"
                )
                raise CorpusError(f"{error}; {what}") from None
            text = drop_unknown(vocabulary, own.text)
            count, _ = split_lengths(len(text), config.corpus.validation_fraction)
            training, held_out = text[:count], text[count:]
        if options.corpus is None:
            name, part, text = own.name, "held out", held_out
            unseen = count_unknown(vocabulary, _end_with(vocabulary, own.text, len(held_out)))
        else:
            corpus = load_corpus(options.corpus, report=report)
            name, part = corpus.name, "whole"
            unseen = count_unknown(vocabulary, corpus.text)
            text = drop_unknown(vocabulary, corpus.text)
    if len(text) < 2:
        hint = (
            "the run held nothing out; give --corpus TEXT"
            if options.corpus is None
            else "too few known characters"
        )
        raise CorpusError(f"{shown(name)}: there is nothing to predict: {hint}")
    return Texts(name, part, text, unseen, training)


def _end_with(vocabulary: "Vocabulary", text: str, known: int) -> str:
    """The end of a text that has so many characters that the model knows."""
    start, names = len(text), frozenset(vocabulary.characters)
    while known:
        start -= 1
        known -= text[start] in names
    return text[start:]


def _score(
    protocol: str,
    config: "Config",
    params: Any,
    ids: "np.ndarray",
    texts: Texts,
    vocabulary: "Vocabulary",
    options: Options,
) -> "tuple[dict[str, Any], Scores]":
    from jaxrnn import dynamic, scoring
    from jaxrnn.errors import CorpusError
    from jaxrnn.vocabulary import encode

    if protocol == "stateful":
        return {}, scoring.score_stateful(config.model, params, ids)
    if protocol == "windows":
        return {"window": options.window}, scoring.score_windows(config.model, params, ids, options.window)
    train_ids = encode(vocabulary, texts.training or "")
    if len(train_ids) < 4:
        raise CorpusError("dynamic evaluation needs a training text of four characters at least")
    if options.rates is None:
        rates, rms = dynamic.tune(config.model, params, train_ids)
    else:
        rates, rms = options.rates, dynamic.root_mean_square(config.model, params, train_ids)
    return rates._asdict(), dynamic.score_dynamic(config.model, params, rms, ids, rates)


def _means(scores: "Scores", size: int, run: Path) -> dict[str, float]:
    import numpy as np

    from jaxrnn.errors import CheckpointError
    from jaxrnn.losses import nats_to_bits

    nats = float(scores.nats.mean(dtype=np.float64))
    if not np.isfinite(nats):
        raise CheckpointError(f"{run}: the loss is not finite: its parameters, or these rates, are no good")
    bits = nats_to_bits(nats)
    return {
        "nats_per_character": nats,
        "bits_per_character": bits,
        "bits_per_byte": bits * len(scores.nats) / size,
        "first_choice": float((scores.ranks == 1).mean()),
    }


def _memorisation(
    config: "Config", params: Any, vocabulary: "Vocabulary", texts: Texts, options: Options
) -> dict[str, Any]:
    """What the model writes, and for comparison the text that it is scored on, looked for in what it learned from."""
    import numpy as np

    from jaxrnn.memorisation import copied
    from jaxrnn.sampling import sample, seed_ids
    from jaxrnn.vocabulary import decode

    blocks = sample(
        config.model,
        params,
        seed_ids(vocabulary, "\n"),
        length=_WRITTEN // _SAMPLES,
        temperature=1.0,
        num_samples=_SAMPLES,
        rng_seed=options.rng_seed,
    )
    written = [decode(vocabulary, row) for row in np.concatenate(list(blocks), axis=1)]
    source = texts.training or ""
    return {
        "characters_written": _WRITTEN,
        "written": _as_record(
            copied("\0".join(written), source)
        ),  # no passage goes on from one sample to the next
        "scored": _as_record(copied(texts.text[:_WRITTEN], source)),
    }


def _as_record(copied: Any) -> dict[str, Any]:
    shares = {str(n): share for n, share in copied.shares.items()}
    return {"shares": shares, "longest_length": len(copied.longest), "longest": copied.longest}


def write_per_character(path: Path, text: str, scores: "Scores") -> None:
    """Writes a CSV with a row for each character but the first: position, character, nats, rank."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["position", "character", "nats", "rank"])
        pairs = zip(text[1:], scores.nats.tolist(), scores.ranks.tolist(), strict=True)
        writer.writerows((i, c, f"{nats:.6g}", rank) for i, (c, nats, rank) in enumerate(pairs, start=1))
