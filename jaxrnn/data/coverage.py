"""Coverage of a corpus by a trained model's vocabulary, and the handling of unknown tokens."""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from jaxrnn.data.cache import entry_folder, open_entry, write_entry
from jaxrnn.data.corpus import Corpus, split_lengths
from jaxrnn.data.texts import shown
from jaxrnn.data.tokens import TokenSource, in_memory
from jaxrnn.data.vocabulary import (
    Ids,
    Vocabulary,
    by_frequency,
    describe_character,
    id_type,
    merge,
    translation,
)
from jaxrnn.errors import VocabularyError, counted
from jaxrnn.types import OnProgress

OnUnknown = Literal["extend", "drop", "error"]

_SHOWN = 8  # new characters listed in a report


class Coverage(NamedTuple):
    """The part of a corpus that is not in a vocabulary."""

    length: int  # of the corpus, in tokens
    new: dict[str, int]  # the count of each unknown character, most frequent first

    @property
    def occurrences(self) -> int:
        """The number of unknown tokens in the corpus."""
        return sum(self.new.values())


def cover(
    vocabulary: Vocabulary,
    corpus: Corpus,
    on_unknown: OnUnknown,
    *,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[TokenSource, Coverage]:
    """Combine the vocabulary of a model with a corpus that it will be fine-tuned on.

    Args:
        vocabulary: The vocabulary of the model.
        corpus: The corpus.
        on_unknown: How to handle unknown tokens: `extend` the vocabulary, `drop` them from the corpus, or raise an
            `error`.
        on_progress: As for `keep_known`.

    Returns:
        The tokens to train on, whose vocabulary contains the model's; and the coverage.

    Raises:
        VocabularyError: `on_unknown` is "error" and a token is unknown; all tokens would be dropped; the combined
            vocabulary is too large; or one vocabulary has characters and the other bytes.
        SaveError: As for `keep_known`.
    """
    own, name = corpus.tokens.vocabulary, shown(corpus.name)
    if vocabulary.tokens != own.tokens:
        raise VocabularyError(
            f"{name}: the model knows {vocabulary.tokens}, and the corpus is one of {own.tokens}"
        )
    unknown = translation(own, vocabulary) < 0
    new = {own.characters[index]: int(corpus.counts[index]) for index in np.flatnonzero(unknown)}
    coverage = Coverage(len(corpus.tokens), by_frequency(new))
    if on_unknown == "extend" or not new:
        return corpus.tokens.in_vocabulary(merge(vocabulary, own)), coverage
    if on_unknown == "error":
        raise _unknown_error(name, corpus.tokens, unknown)
    if unknown.all():
        raise VocabularyError(f"{name}: the model knows none of its characters; try --on-unknown extend")
    return keep_known(vocabulary, corpus, on_progress=on_progress), coverage


def keep_known(
    vocabulary: Vocabulary, corpus: Corpus, *, on_progress: OnProgress = lambda *_: None
) -> TokenSource:
    """Return a corpus without unknown tokens, as ids of the given vocabulary.

    For a streamed corpus, the result is a separate entry in the token cache.

    Args:
        vocabulary: The known tokens.
        corpus: The whole corpus.
        on_progress: Receives the progress of writing that entry.

    Raises:
        SaveError: The entry can't be written.
    """
    source, own = corpus.tokens, corpus.tokens.vocabulary
    is_kept = translation(own, vocabulary) >= 0
    if is_kept.all():
        return source.in_vocabulary(vocabulary)
    left_out = "".join(c for c, keep in zip(own.characters, is_kept, strict=True) if not keep)
    kept = Vocabulary("".join(c for c in own.characters if c not in left_out), own.tokens)
    table = (np.cumsum(is_kept) - 1).astype(id_type(kept))

    def pieces() -> Iterator[Ids]:
        done = 0
        for ids in source.chunks():
            yield table[ids[is_kept[ids]]]
            done += len(ids)
            on_progress(f"leaving {counted(len(left_out), 'character')} out of the corpus", done, len(source))

    if source.file is None:
        return in_memory(kept, np.concatenate([*pieces()])).in_vocabulary(vocabulary)
    folder = entry_folder(corpus.sha256, own.tokens, left_out)
    if entry := open_entry(folder):
        return entry[0].in_vocabulary(vocabulary)
    written = write_entry(folder, kept, corpus.counts[is_kept], pieces(), on_progress)
    return written.in_vocabulary(vocabulary)


def split_whole(vocabulary: Vocabulary, corpus: Corpus, *fractions: float) -> list[TokenSource]:
    """Split the corpus of a run at the positions of its training, without dropping unknown tokens.

    In training, tokens not in the run's vocabulary were dropped before the corpus was split.

    Args:
        vocabulary: The vocabulary of the run.
        corpus: The corpus of the run.
        fractions: The fractions of the run's splits, as for `split_corpus`.
    """
    source = corpus.tokens
    is_known = translation(source.vocabulary, vocabulary) >= 0
    known = int(corpus.counts[is_known].sum())
    *lengths, _ = split_lengths(known, *fractions)
    ends = [*accumulate(lengths, initial=0), len(source)]
    if known < len(source):
        ends[1:-1] = [_position(source, is_known, end) for end in ends[1:-1]]
    return [source.part(start, end) for start, end in pairwise(ends)]


def _position(source: TokenSource, wanted: npt.NDArray[Any], number: int) -> int:
    """Return the position of the `wanted` token with index `number`, counted from 0; if there are fewer, the end."""
    start = 0
    for ids in source.chunks():
        places = np.flatnonzero(wanted[ids])
        if number < places.size:
            return start + int(places[number])
        start, number = start + len(ids), number - places.size
    return start


def _unknown_error(name: str, source: TokenSource, unknown: npt.NDArray[Any]) -> VocabularyError:
    position = _position(source, unknown, 0)
    character = source.vocabulary.characters[int(source.read(position, position + 1)[0])]
    others = int(unknown.sum()) - 1
    more = f" nor {others:,} other{'s' * (others > 1)} of its characters" if others else ""
    return VocabularyError(
        f"{name}: the model does not know {describe_character(character)}, at position {position:,} (counted "
        f"from 0){more}; --on-unknown extend gives new characters weights, --on-unknown drop leaves them out"
    )


def describe_coverage(coverage: Coverage, on_unknown: OnUnknown) -> str:
    """Return a one-line report of the coverage."""
    if not coverage.new:
        return "the model knows every character of the corpus"
    share = coverage.occurrences / coverage.length
    percent = f"{share:.2%}" if share >= 0.0001 else "under 0.01%"
    first = list(coverage.new.items())[:_SHOWN]
    listed = [f"{describe_character(c)} {counted(count, 'time')}" for c, count in first]
    if len(coverage.new) > _SHOWN:
        listed.append(f"and {len(coverage.new) - _SHOWN:,} more")
    are, them = ("characters are", "them") if len(coverage.new) > 1 else ("character is", "it")
    fate = "left out of the corpus" if on_unknown == "drop" else f"the model gets weights for {them}"
    return (
        f"{len(coverage.new):,} {are} new to the model, {coverage.occurrences:,} of the corpus's {coverage.length:,} "
        f"({percent}): {', '.join(listed)}; {fate}"
    )
