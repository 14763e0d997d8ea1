"""A corpus: found by name or path, read into memory or into the token cache, and split into training and validation."""

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

SPLITS = ("validation", "test")  # what can be held out, in this order after what is trained on
LARGEST_RESIDENT = 2**31 - 1  # tokens: positions on the device are 32-bit integers


class Corpus(NamedTuple):
    """A tokenized corpus and where it is from."""

    name: str  # a built-in name, or the path as it was given; of several, in one line
    path: Path | tuple[Path, ...]  # absolute; of what was named
    sha256: str  # of the text in UTF-8, line ends normalized; or of the bytes
    tokens: TokenSource  # in its own vocabulary
    counts: Counts  # how often each token of that occurs


def load_corpus(config: CorpusConfig, *, on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Load a corpus by name or path; a built-in one is fetched the first time.

    Args:
        config: what and how, as `[corpus]` of a config.
        on_progress: told how downloads and tokenization go.

    Raises:
        CorpusError: as `find_source` and `read_corpus`.
        DownloadError: as `find_source`.
        VocabularyError: as `read_corpus`.
        SaveError: likewise.

    Example:
        >>> path = getfixture("tmp_path") / "my.txt"
        >>> _ = path.write_text("to be or not to be")
        >>> corpus = load_corpus(CorpusConfig(text=str(path)))
        >>> corpus.tokens.vocabulary.characters, len(corpus.tokens)
        (' benort', 18)
    """
    return read_corpus(find_source(config, on_progress=on_progress), on_progress=on_progress)


def read_corpus(source: Source, *, sha256: str = "", on_progress: OnProgress = lambda *_: None) -> Corpus:
    """Tokenize a corpus whose files are found, into memory or, where it is streamed, into the token cache.

    An entry of the cache is written once and appears by one rename: a tokenization that was interrupted starts again.

    Args:
        source: from `find_source`.
        sha256: that of the corpus, if no other one will do.
        on_progress: told how the latter goes.

    Raises:
        CorpusError: A file can't be read, is not text, or was changed meanwhile; or the corpus has fewer than two
            tokens, more than fit on a device while it is not streamed, or another SHA-256.
        VocabularyError: It has more than 65,536 different characters.
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
    """Tokenize the beginning of a corpus into memory; the SHA-256 is of that alone.

    Args:
        source: from `find_source`.
        most: how many characters, or bytes, to read.

    Raises:
        CorpusError: as `read_corpus`.
        VocabularyError: likewise.
    """
    pieces: list[Text] = []
    for piece in read_source(source):
        pieces.append(piece[:most])
        most -= len(piece)
        if most <= 0:
            break
    return _read(pieces, source)


def read_start(name: str, tokens: str, most: int) -> Text:
    """Read a corpus as text; of one that is larger than what is kept in memory, the beginning.

    Raises:
        CorpusError: as `find_source` and `read_corpus`.
        VocabularyError: as `read_corpus`.
    """
    source = find_source(CorpusConfig(text=name, tokens=tokens))
    read = read_first(source, most) if source.is_streamed else read_corpus(source)
    return spell(read.tokens.vocabulary, read.tokens.read())


def find_corpus(
    names: Sequence[Texts], sha256: str, config: CorpusConfig, *, on_progress: OnProgress = lambda *_: None
) -> Corpus:
    """Find the corpus of a run, wherever it is now.

    Args:
        names: where it may be, by name or path, the likeliest first; the last is what it is called. Then the token
            cache, where it is not to be in memory, and the files of the data folder are searched, but for those that
            are too large to be read for that.
        sha256: of the corpus; "" takes what has one of the names, and searches nowhere else.
        config: how to read it; its `text` does not count.
        on_progress: told how downloads and tokenization go.

    Raises:
        CorpusError: It is in none of these places; the message is about the first of them.
        SaveError: as `read_corpus`.
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
    """Return the SHA-256 of a corpus; files that have not changed since the last time are not read.

    Raises:
        CorpusError: as `read_corpus`.
        VocabularyError: likewise.
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
    """Return the SHA-256 of a corpus, and what else is found out where it has to be read for that."""
    if known := known_sha256(source.stamp):
        return known, None
    survey = _read_once(source, on_progress)
    if not source.is_recent:
        remember_sha256(source.stamp, survey.sha256)
    return survey.sha256, survey


def _check_sha256(found: str, wanted: str, source: Source) -> None:
    if wanted and found != wanted:
        raise CorpusError(
            f"{shown(source.name)} is not the corpus that the run began with (another SHA-256): put that back"
        )


# Training and validation.


def split_lengths(length: int, *fractions: float) -> list[int]:
    """Return the number of tokens in the training split and in each split after it, by their fractions."""
    # The small term undoes rounding: 10 * (1 - 0.9) is a hair below 1.
    ends = [int(length * (1 - sum(fractions[i:])) + 1e-6) for i in range(len(fractions) + 1)]
    return [end - start for start, end in pairwise([0, *ends])]


def split_corpus(tokens: TokenSource, *fractions: float) -> list[TokenSource]:
    """Split a corpus without copying it.

    Args:
        tokens: the whole corpus.
        fractions: the parts to hold out, from 0 up to, not including, 1 in all.

    Returns:
        The training split, and after it each part that is held out, in one piece.
    """
    ends = accumulate(split_lengths(len(tokens), *fractions), initial=0)
    return [tokens.part(start, end) for start, end in pairwise(ends)]


def check_length(name: str, length: int, config: Config) -> None:
    """Check that no split of a corpus is too short.

    The training split needs `batching.min_tokens`; each other one, where there is to be one, 2.

    Args:
        name: of the corpus.
        length: in tokens.
        config: the sizes.

    Raises:
        CorpusError: A split is too short. The message has the numbers, and values that would fit.
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
    """Return the largest sizes that fit: one of them changed where that is enough, else both."""
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
