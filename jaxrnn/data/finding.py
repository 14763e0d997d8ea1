"""The text of a run, wherever it is now: in a file, or only as ids on the disk."""

import contextlib
from collections.abc import Sequence

from jaxrnn.config import Texts
from jaxrnn.data.cache import TokenFile, entry_folder, open_tokens
from jaxrnn.data.corpus import Corpus, changed_text, find_corpus
from jaxrnn.data.download import Report
from jaxrnn.data.sources import Source, find_source, is_streamed
from jaxrnn.data.tokenizing import tokenise
from jaxrnn.errors import CorpusError


def find_text(
    names: Sequence[Texts],
    sha256: str,
    tokens: str,
    streamed: str,
    separator: str = "",
    *,
    report: Report | None = None,
    tokenising: Report | None = None,
) -> Corpus | TokenFile:
    """Find the text that a run learns from, and read it if it is not to be streamed.

    Args:
        names: where it may be, the likeliest first; then the texts in the data folder, as `find_corpus` does.
        sha256: of the text.
        tokens: "characters" or "bytes".
        streamed: "auto", "always" or "never", as in a config.
        separator: put between two files where the first does not end in it.
        report: told how a download goes.
        tokenising: told how writing its ids goes, where they are not there yet.

    Returns:
        The text in memory, or its ids on the disk. These are enough: the text they were made of may be gone.

    Raises:
        CorpusError: if it is in none of these places; the message is about the first of them.
    """
    source = _first(names, report)
    if streamed == "never" or (source is not None and not is_streamed(streamed, source)):
        return find_corpus(names, sha256, tokens=tokens, separator=separator, report=report)
    if written := open_tokens(entry_folder(sha256, tokens)):
        return written
    if source is None:
        return find_corpus(names, sha256, tokens=tokens, separator=separator, report=report)
    problem: CorpusError | None = None
    for name in names:
        try:
            found = tokenise(find_source(name, report=report), tokens, separator, report=tokenising)
        except CorpusError as error:
            problem = problem or error
            continue
        if found.text_sha256 == sha256:
            return found
        problem = problem or changed_text(name)
    with contextlib.suppress(CorpusError):
        return find_corpus((), sha256, tokens=tokens, separator=separator)
    raise problem or CorpusError("no text is named")


def _first(names: Sequence[Texts], report: Report | None) -> Source | None:
    """The first of these texts that is there."""
    for name in names:
        try:
            return find_source(name, report=report)
        except CorpusError:
            continue
    return None
