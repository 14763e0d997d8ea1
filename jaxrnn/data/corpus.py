"""Loading, tokenizing and splitting of a corpus, in memory or in the token cache."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrnn.config import Config, CorpusConfig, Texts
from jaxrnn.data.batching import min_tokens
from jaxrnn.data.builtin import data_folder
from jaxrnn.data.cache import entry_folder, known_sha256, open_entry, remember_sha256, write_entry
from jaxrnn.data.sources import RESIDENT_BYTES, Source, changed, find_source, read_source
from jaxrnn.data.texts import as_bytes, several, shown
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import TOKENIZERS, Counts, Ids, Text, Vocabulary, encode, spell
from jaxrnn.errors import CorpusError, JaxrnnError, VocabularyError, counted
from jaxrnn.types import OnProgress

SPLITS = ("validation", "test")  # in this order after the training split
LARGEST_RESIDENT = 2**31 - 1  # tokens: positions on the device are 32-bit integers


class Corpus(NamedTuple):
    """A tokenized corpus and its origin."""

    name: str  # a built-in name, or the path as given; several are joined in one line
    path: Path | tuple[Path, ...]  # absolute
    sha256: str  # of the text in UTF-8, line ends normalized; or of the bytes
    tokens: TokenSource  # in the corpus's own vocabulary
    counts: Counts  # the count of each token of that vocabulary


def load_corpus(config: CorpusConfig, *, on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Load a corpus by name or path; a built-in one is fetched the first time.

    Args:
        config: The section `[corpus]` of a config.
        on_progress: Receives the progress of downloads and tokenization.

    Raises:
        CorpusError: As for `find_source` and `read_corpus`.
        DownloadError: As for `find_source`.
        VocabularyError: As for `read_corpus`.
        SaveError: As for `read_corpus`.

    Example:
        >>> path = getfixture("tmp_path") / "my.txt"
        >>> _ = path.write_text("to be or not to be")
        >>> corpus = load_corpus(CorpusConfig(text=str(path)))
        >>> corpus.tokens.vocabulary.characters, len(corpus.tokens)
        (' benort', 18)
    """
    return read_corpus(find_source(config, on_progress=on_progress), on_progress=on_progress)


def read_corpus(source: Source, *, sha256: str = "", on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Tokenize a corpus into memory, or if it is streamed, into the token cache.

    An entry of the cache is written once and atomically; an interrupted tokenization starts again.

    Args:
        source: The files, from `find_source`.
        sha256: The SHA-256 that the corpus must have; "" accepts any.
        on_progress: Receives the progress of tokenization into the cache.

    Raises:
        CorpusError: A file can't be read, is not text, or was changed meanwhile; or the corpus has fewer than two
            tokens, is too large for a device but not streamed, or has another SHA-256.
        VocabularyError: The corpus has more than 65,536 different characters.
        SaveError: The token cache can't be written.
    """
    if source.is_streamed:
        return _write(source, sha256, on_progress)
    corpus = _read(list(read_source(source)), source)
    _check_sha256(corpus.sha256, sha256, source)
    if len(corpus.tokens) > LARGEST_RESIDENT:
        raise CorpusError(
            f"{shown(source.name)} has {len(corpus.tokens):,} {source.config.tokens}, and {LARGEST_RESIDENT:,} are the "
            'most that fit on a device: set corpus.streamed to "auto"'
        )
    return corpus


def read_first(source: Source, most: int) -> Corpus:
    """Tokenize the beginning of a corpus into memory; the SHA-256 is of the beginning only.

    Args:
        source: The files, from `find_source`.
        most: The number of characters, or bytes, to read.

    Raises:
        CorpusError: As for `read_corpus`.
        VocabularyError: As for `read_corpus`.
    """
    pieces: list[Text] = []
    for piece in read_source(source):
        pieces.append(piece[:most])
        most -= len(piece)
        if most <= 0:
            break
    return _read(pieces, source)


def read_start(name: str, tokens: str, most: int) -> Text:
    """Read a corpus as text; only the first `most` characters or bytes if it is streamed from disk.

    Raises:
        CorpusError: As for `find_source` and `read_corpus`.
        VocabularyError: As for `read_corpus`.
    """
    source = find_source(CorpusConfig(text=name, tokens=tokens))
    read = read_first(source, most) if source.is_streamed else read_corpus(source)
    return spell(read.tokens.vocabulary, read.tokens.read())


def find_corpus(
    names: Sequence[Texts], sha256: str, config: CorpusConfig, *, on_progress: OnProgress = lambda *_: None
) -> Corpus:
    """Find the corpus of a run by its names and its SHA-256, even if it was moved.

    If no name matches, the token cache is searched (unless `config.streamed` is "never"), then the files of the data
    folder that are small enough to be read into memory.

    Args:
        names: Names or paths to try, in this order; the last one becomes the name of the corpus.
        sha256: The SHA-256 of the corpus; "" accepts any corpus with one of the names and searches nowhere else.
        config: How to read the corpus; its `text` is ignored.
        on_progress: Receives the progress of downloads and tokenization.

    Raises:
        CorpusError: The corpus was not found; the message is about the first name.
        SaveError: As for `read_corpus`.
    """
    problem: JaxrnnError | None = None
    for name in names:
        try:
            source = find_source(replace(config, text=name), on_progress=on_progress)
            found = read_corpus(source, sha256=sha256, on_progress=on_progress)
            return found._replace(name=several(names[-1]))
        except (CorpusError, VocabularyError) as error:
            problem = problem or error
    if problem and not sha256:
        raise problem
    if config.streamed != "never":
        folder = entry_folder(sha256, config.tokens)
        if entry := open_entry(folder):
            return Corpus(several(names[-1]), folder, sha256, *entry)
    for path in sorted(data_folder().glob("*.txt" if TOKENIZERS[config.tokens].is_text else "*")):
        with suppress(CorpusError, VocabularyError, OSError):
            if path.is_file() and path.stat().st_size <= RESIDENT_BYTES:
                return read_corpus(find_source(replace(config, text=str(path.absolute()))), sha256=sha256)
    raise problem or CorpusError("no corpus is named")


def hash_corpus(source: Source, on_progress: OnProgress = lambda *_: None) -> str:
    """Return the SHA-256 of a corpus; files that have not changed since they were last hashed are not read.

    Raises:
        CorpusError: As for `read_corpus`.
        VocabularyError: As for `read_corpus`.
    """
    return _identify(source, on_progress)[0]


class _Survey(NamedTuple):
    """The result of a first pass over a corpus."""

    sha256: str
    vocabulary: Vocabulary
    counts: Counts


def _survey(pieces: Iterable[Text], source: Source) -> _Survey:
    tokenizer, digest = TOKENIZERS[source.config.tokens], hashlib.sha256()
    name = source.files[0].name if len(source.files) == 1 else shown(source.name)

    def hashed() -> Iterator[Text]:
        for piece in pieces:
            digest.update(as_bytes(piece))
            yield piece

    try:
        vocabulary, counts = tokenizer.build(hashed())
    except VocabularyError as error:
        raise VocabularyError(f"{name}: {error}") from None
    if (length := int(counts.sum())) < 2:
        found = f"has only 1 {tokenizer.unit}" if length else "is empty"
        raise CorpusError(f"{name} {found}: a corpus needs at least 2 {source.config.tokens}")
    return _Survey(digest.hexdigest(), vocabulary, counts)


def _read_once(source: Source, on_progress: OnProgress) -> _Survey:
    return _survey(read_source(source, f"reading {source.name}", on_progress), source)


def _read(pieces: list[Text], source: Source) -> Corpus:
    sha256, vocabulary, counts = _survey(pieces, source)
    ids = np.concatenate([encode(vocabulary, piece) for piece in pieces])
    return Corpus(source.name, source.path, sha256, in_memory(vocabulary, ids), counts)


def _write(source: Source, wanted: str, on_progress: OnProgress) -> Corpus:
    sha256, survey = _identify(source, on_progress)
    _check_sha256(sha256, wanted, source)
    folder = entry_folder(sha256, source.config.tokens)
    if (entry := open_entry(folder)) is None:
        _, vocabulary, counts = survey or _read_once(source, on_progress)

        what = f"tokenizing {source.name}, once, into {folder.parent}"

        def encoded() -> Iterator[Ids]:
            try:
                for piece in read_source(source, what, on_progress):
                    yield encode(vocabulary, piece)
            except VocabularyError:
                raise changed(source) from None

        entry = write_entry(folder, vocabulary, counts, encoded(), on_progress), counts
    return Corpus(source.name, source.path, sha256, *entry)


def _identify(source: Source, on_progress: OnProgress) -> tuple[str, _Survey | None]:
    """Return the SHA-256 of a corpus; and the survey, if the corpus had to be read."""
    if known := known_sha256(source.stamp):
        return known, None
    survey = _read_once(source, on_progress)
    if not source.is_recent:
        remember_sha256(source.stamp, survey.sha256)
    return survey.sha256, survey


def _check_sha256(found: str, wanted: str, source: Source) -> None:
    if wanted and found != wanted:
        raise CorpusError(
            f"{shown(source.name)} is not the corpus that the run began with (another SHA-256): name or restore it"
        )


# Training and validation.


def split_lengths(length: int, *fractions: float) -> list[int]:
    """Return the lengths in tokens of the training split and of the splits after it, given their fractions."""
    # 1e-6 corrects rounding errors: 10 * (1 - 0.9) is slightly less than 1.
    ends = [int(length * (1 - sum(fractions[i:])) + 1e-6) for i in range(len(fractions) + 1)]
    return [end - start for start, end in pairwise([0, *ends])]


def split_corpus(tokens: TokenSource, *fractions: float) -> list[TokenSource]:
    """Split a corpus without copying it.

    Args:
        tokens: The whole corpus.
        fractions: The fractions of the other splits; their sum is less than 1.

    Returns:
        The training split and the other splits, each contiguous.
    """
    ends = accumulate(split_lengths(len(tokens), *fractions), initial=0)
    return [tokens.part(start, end) for start, end in pairwise(ends)]


def check_length(name: str, length: int, config: Config) -> None:
    """Check that no split of a corpus is too short.

    The training split needs `batching.min_tokens`, other splits 2 tokens unless their fraction is 0.

    Args:
        name: The name of the corpus.
        length: Its length in tokens.
        config: The config of the run.

    Raises:
        CorpusError: A split is too short. The message has the lengths, and values that would fit.
    """
    train, fractions, tokens = config.train, config.corpus.held_out, config.corpus.tokens
    training, *held_out = split_lengths(length, *fractions)
    parts = [f"{count:,} for {split}" for count, split in zip(held_out, SPLITS, strict=True) if count]
    have = f"{shown(name)} has {counted(length, tokens[:-1])}, {' and '.join([f'{training:,} for training', *parts])}"
    sizes, needed = f"seq_len = {train.seq_len}", min_tokens(train)
    if training < needed:
        sizes = f"batch_size = {train.batch_size} with {sizes}" if train.stateful else sizes
        remedy = " or ".join([*_fitting_sizes(training, config), "a longer corpus"])
        raise CorpusError(f"{have}; {sizes} needs {needed:,} for training: try {remedy}")
    for split, fraction, count in zip(SPLITS, fractions, held_out, strict=True):
        if fraction > 0 and count < 2:
            raise CorpusError(
                f"{have}; {split} needs 2: try a larger {split}_fraction, 0 for no {split}, or a longer corpus"
            )


def _fitting_sizes(training: int, config: Config) -> list[str]:
    """Return the largest sizes that fit: changes of one size if that is enough, else of both."""
    batch_size, seq_len = config.train.batch_size, config.train.seq_len
    if not config.train.stateful:
        return [f"seq_len = {training - 1}"] if training >= 2 else []
    streams = (training - 1) // (seq_len + 1)
    steps = (training - 1) // batch_size - 1
    choices = [f"batch_size = {streams}"] if streams >= 1 else []
    if steps >= 1:
        choices.append(f"seq_len = {steps}")
    if not choices and training >= 3:
        choices.append(f"batch_size = 1 with seq_len = {training - 2}")
    return choices
