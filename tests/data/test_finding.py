"""The text of a run is found as a file, or as ids alone; and what a model knows of it, without reading it."""

from pathlib import Path

import pytest

from jaxrnn.config import Texts
from jaxrnn.data import excerpts
from jaxrnn.data.cache import TokenFile
from jaxrnn.data.corpus import Corpus, load_corpus
from jaxrnn.data.coverage import OnUnknown, cover, cover_tokens
from jaxrnn.data.excerpts import first_part, split_excerpts
from jaxrnn.data.finding import find_text
from jaxrnn.data.sources import find_source
from jaxrnn.data.stream import open_stream
from jaxrnn.data.tokenizing import tokenise
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, encode
from jaxrnn.errors import CorpusError, VocabularyError
from jaxrnn.evaluation.scored_text import split_text

from .conftest import Put

TEXT = "the text, naïve — of a run " * 9


def test_a_text_is_found_streamed_or_not_by_its_content(put: Put) -> None:
    put("moved.txt", TEXT)
    put("other.txt", "another text")
    sha256 = load_corpus("moved.txt").sha256
    names: list[Texts] = ["gone.txt", ("other.txt", "moved.txt"), "moved.txt"]
    assert isinstance(find_text(names, sha256, "characters", "auto"), Corpus)
    found = find_text(names, sha256, "characters", "always")
    assert isinstance(found, TokenFile)
    assert found.text_sha256 == sha256
    for name in ("moved.txt", "other.txt"):
        Path(name).unlink()
    assert find_text(names, sha256, "characters", "always") == found  # the ids are enough
    assert find_text(names, sha256, "characters", "auto") == found
    with pytest.raises(CorpusError, match=r"there is no file gone\.txt"):
        find_text(names, sha256, "characters", "never")


def test_another_text_in_its_place_is_told(put: Put) -> None:
    put("a.txt", TEXT)
    for streamed in ("always", "never"):
        with pytest.raises(CorpusError, match=r"a\.txt is not the text that the run began with"):
            find_text(["a.txt"], "0" * 64, "characters", streamed)


def test_a_text_in_the_data_folder_is_found_whatever_stands_in_its_place(put: Put) -> None:
    put("a.txt", "another text")
    put("data/moved.txt", TEXT)
    sha256 = load_corpus("data/moved.txt").sha256
    for streamed in ("always", "never"):
        found = find_text(["a.txt"], sha256, "characters", streamed)
        assert isinstance(found, Corpus)
        assert found.text == TEXT


@pytest.mark.parametrize("known", ["the x", TEXT, "zq", "the tx,nav—ofrun "])
@pytest.mark.parametrize("on_unknown", ["extend", "drop", "error"])
def test_what_a_model_knows_of_it_is_what_it_knows_of_the_text_in_memory(
    put: Put, known: str, on_unknown: OnUnknown
) -> None:
    put("t.txt", TEXT)
    vocabulary = build_vocabulary(known)
    tokens = tokenise(find_source("t.txt"), "characters")
    try:
        expected = cover(vocabulary, TEXT, on_unknown, "t.txt")
    except VocabularyError as error:
        with pytest.raises(VocabularyError) as caught:
            cover_tokens(vocabulary, tokens, on_unknown, "t.txt")
        assert str(caught.value) == str(error)
        return
    found = cover_tokens(vocabulary, tokens, on_unknown, "t.txt")
    assert found[0] == expected[0]
    assert found[2] == expected[2]
    assert list(found[2].new) == list(expected[2].new)
    ids = open_stream(found[1], found[0]).read(0, found[1].length)
    assert ids.tolist() == encode(expected[0], expected[1]).tolist()


@pytest.mark.parametrize("known", [TEXT, "the tx,navofrun"])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_excerpts_are_parts_of_what_would_be_in_memory(
    put: Put, monkeypatch: pytest.MonkeyPatch, known: str, fraction: float
) -> None:
    monkeypatch.setattr(excerpts, "_CHUNK", 10)
    put("t.txt", TEXT)
    vocabulary = build_vocabulary(known)
    tokens = tokenise(find_source("t.txt"), "characters")
    training, held_out = split_text(vocabulary, load_corpus("t.txt"), fraction)
    whole = split_excerpts(vocabulary, tokens, fraction, 10**9)
    assert (whole.training, whole.held_out) == (training, held_out)
    assert whole.num_training == len(training)
    few = split_excerpts(vocabulary, tokens, fraction, 20)
    assert few.held_out == held_out[:20]
    assert training.endswith(few.training)  # type: ignore[arg-type]
    assert few.training
    assert few[2:] == whole[2:]


def test_bytes_are_excerpts_too(put: Put) -> None:
    data = bytes(range(200)) * 3
    put("t.bin", data)
    tokens = tokenise(find_source("t.bin"), "bytes")
    vocabulary = build_vocabulary(data)
    assert split_excerpts(vocabulary, tokens, 0.5, 10)[:2] == (data[290:300], data[300:310])
    assert first_part(find_source("t.bin"), "bytes", 10).text == data[:10]


def test_the_first_part_of_a_text_is_read_and_no_more(put: Put) -> None:
    put("t/a", TEXT)
    put("t/b", b"\xff")  # which is no text, and not reached
    assert first_part(find_source("t"), "characters", 30).text == TEXT[:30]
    with pytest.raises(CorpusError, match="t/b is not UTF-8"):
        first_part(find_source("t"), "characters", 10**6)


def test_a_vocabulary_without_a_character_of_the_text_is_a_mistake(put: Put) -> None:
    put("t.txt", TEXT)
    with pytest.raises(ValueError, match="lacks a character"):
        open_stream(tokenise(find_source("t.txt"), "characters"), Vocabulary("abc"))
