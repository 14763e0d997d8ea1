"""Fine-tuning on a text that is on the disk: what of it a model knows, without reading it again."""

from jaxrnn.data.cache import TokenFile
from jaxrnn.data.download import Report
from jaxrnn.data.stream import vocabulary_of
from jaxrnn.data.tokenizing import without
from jaxrnn.data.vocabulary import Vocabulary, merge
from jaxrnn.errors import VocabularyError
from jaxrnn.training.finetuning import Coverage, OnUnknown, unknown_error


def cover_tokens(
    vocabulary: Vocabulary,
    tokens: TokenFile,
    on_unknown: OnUnknown,
    source: str,
    *,
    report: Report | None = None,
) -> tuple[Vocabulary, TokenFile, Coverage]:
    """What `finetuning.cover` does, for a text on the disk: its record says how often each character occurs, and where.

    Raises:
        VocabularyError: as `finetuning.cover`.
        SaveError: characters are dropped, and the text without them can't be written.
    """
    numbered = tokens.numbered
    found = zip(numbered.characters, numbered.counts, numbered.firsts, strict=True)
    unknown = sorted((-count, c, first) for c, count, first in found if c not in vocabulary.characters)
    coverage = Coverage(numbered.length, {c: -count for count, c, _ in unknown})
    if not unknown:
        return vocabulary, tokens, coverage
    if on_unknown == "extend":
        return merge(vocabulary, vocabulary_of(tokens)), tokens, coverage
    if on_unknown == "drop":
        if len(unknown) == len(numbered.characters):
            raise VocabularyError(
                f"{source}: the model knows none of its characters; try --on-unknown extend"
            )
        return vocabulary, without(tokens, vocabulary.characters, report=report), coverage
    position, character = min((first, c) for _, c, first in unknown)
    raise unknown_error(source, position, character, coverage)
