"""Coverage of a corpus by a vocabulary: equal results and messages in memory and streamed."""

from collections import Counter

import pytest

from jaxrnn.data.corpus import split_corpus
from jaxrnn.data.coverage import OnUnknown, cover, describe_coverage, keep_known, split_whole
from jaxrnn.data.vocabulary import build_vocabulary, byte_vocabulary, drop_unknown
from jaxrnn.errors import VocabularyError

from .conftest import Put, load, text_of

TEXT = "the text, naïve — of a run " * 9


@pytest.fixture(params=["never", "always"])
def streamed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "known", ["the x", TEXT, "zq", "the tx,nav—ofrun ", "".join(map(chr, range(300, 600)))]
)
def test_unknown_characters_extend_the_vocabulary_or_are_dropped(put: Put, known: str, streamed: str) -> None:
    put("t.txt", TEXT)
    vocabulary, corpus = build_vocabulary(known), load("t.txt", streamed=streamed)
    tokens, coverage = cover(vocabulary, corpus, "extend")
    assert set(tokens.vocabulary.characters) == {*known, *TEXT}
    assert text_of(tokens) == TEXT
    new = Counter(c for c in TEXT if c not in known)
    assert (coverage.length, coverage.new) == (len(TEXT), new)
    assert list(coverage.new) == sorted(new, key=lambda c: (-new[c], c))
    kept = drop_unknown(vocabulary, TEXT)
    if not kept:
        with pytest.raises(VocabularyError, match=r"t\.txt: the model knows none of its characters"):
            cover(vocabulary, corpus, "drop")
        return
    tokens, again = cover(vocabulary, corpus, "drop")
    assert (tokens.vocabulary, text_of(tokens), again) == (vocabulary, kept, coverage)
    assert (tokens.file is None) == (streamed == "never")
    assert text_of(keep_known(vocabulary, corpus)) == kept  # now from the token cache


def test_the_first_unknown_character_is_named_with_its_position(put: Put, streamed: str) -> None:
    put("t.txt", TEXT)
    corpus = load("t.txt", streamed=streamed)
    with pytest.raises(
        VocabularyError,
        match=r"t\.txt: the model does not know 'e' \(U\+0065\), at position 2 .* nor 5 others of its",
    ):
        cover(build_vocabulary("thx ,naïv"), corpus, "error")
    with pytest.raises(
        VocabularyError, match=r"'—' \(U\+2014\), at position 16 \(counted from 0\); --on-unknown"
    ):
        cover(build_vocabulary(TEXT.replace("—", "")), corpus, "error")


@pytest.mark.parametrize("on_unknown", ["extend", "drop", "error"])
def test_a_byte_vocabulary_covers_all_bytes_and_no_characters(
    put: Put, on_unknown: OnUnknown, streamed: str
) -> None:
    put("t.txt", TEXT)
    corpus = load("t.txt", tokens="bytes", streamed=streamed)
    tokens, coverage = cover(byte_vocabulary(), corpus, on_unknown)
    assert (text_of(tokens), coverage.new) == (TEXT.encode(), {})
    with pytest.raises(VocabularyError, match="the model knows characters, and the corpus is one of bytes"):
        cover(build_vocabulary(TEXT), corpus, on_unknown)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("known", [TEXT, "the tx,navofrun"])
@pytest.mark.parametrize("fractions", [(0.0, 0.0), (0.3, 0.0), (0.3, 0.2), (0.0, 0.5), (0.9, 0.05)])
def test_splits_of_the_whole_corpus_match_those_after_dropping(
    put: Put, streamed: str, known: str, fractions: tuple[float, float]
) -> None:
    put("t.txt", TEXT)
    vocabulary, corpus = build_vocabulary(known), load("t.txt", streamed=streamed)
    kept = [str(text_of(part)) for part in split_corpus(keep_known(vocabulary, corpus), *fractions)]
    parts = [str(text_of(part)) for part in split_whole(vocabulary, corpus, *fractions)]
    assert "".join(parts) == TEXT
    assert [drop_unknown(vocabulary, part) for part in parts] == kept
    assert all(part[0] in vocabulary.characters for part in parts if part)


def test_a_report_names_the_most_frequent_characters_and_the_action(put: Put) -> None:
    put("t.txt", "aaa bb cdefghijk" + "a" * 30_000)
    corpus = load("t.txt")
    _, coverage = cover(build_vocabulary("a"), corpus, "extend")
    report = describe_coverage(coverage, "extend")
    assert report.startswith(
        "11 characters are new to the model, 13 of the corpus's 30,016 (0.04%): ' ' (U+0020) 2 times,"
    )
    assert report.endswith("'h' (U+0068) 1 time, and 3 more; the model gets weights for them")
    _, coverage = cover(build_vocabulary("ab cdefghij"), corpus, "drop")
    report = describe_coverage(coverage, "drop")
    assert report == (
        "1 character is new to the model, 1 of the corpus's 30,016 (under 0.01%): 'k' (U+006B) 1 time; "
        "left out of the corpus"
    )
    assert (
        describe_coverage(coverage._replace(new={}), "drop")
        == "the model knows every character of the corpus"
    )
