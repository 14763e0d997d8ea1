"""Corpora by name or path, in memory or streamed; lookup by hash; splits."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.config import Config, CorpusConfig, Texts, TrainConfig
from jaxrnn.data import corpus as module
from jaxrnn.data import vocabulary
from jaxrnn.data.builtin import BUILT_IN, data_folder
from jaxrnn.data.corpus import (
    Corpus,
    check_length,
    find_corpus,
    hash_corpus,
    read_first,
    read_start,
    split_corpus,
    split_lengths,
)
from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, encode
from jaxrnn.errors import CorpusError, VocabularyError

from .conftest import Put, find, load, text_of

WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))  # more characters than a byte can index
TEXTS = ["hello\r\nworld " * 40, "\ufeffnaïve — 😀\r" * 40, "few " * 90 + WIDE * 2 + " few", "ab"]
TEXT = "the text, naïve — of a run " * 9


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("streamed", ["never", "always"])
def test_tokens_vocabulary_counts_and_hash_match_the_text(put: Put, text: str, streamed: str) -> None:
    put("t.txt", text)
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    corpus = load("./t.txt", streamed=streamed)
    assert (corpus.name, corpus.path) == ("./t.txt", Path("t.txt").absolute())
    assert corpus.sha256 == hashlib.sha256(plain.encode()).hexdigest()
    own = corpus.tokens.vocabulary
    assert own == build_vocabulary(plain)
    assert corpus.counts.tolist() == [plain.count(character) for character in own.characters]
    expected = encode(own, plain)
    assert corpus.tokens.read().dtype == expected.dtype
    np.testing.assert_array_equal(corpus.tokens.read(), expected)
    assert hash_corpus(find("t.txt")) == corpus.sha256
    raw = Path("t.txt").read_bytes()
    of_bytes = load("t.txt", streamed=streamed, tokens="bytes")
    assert text_of(of_bytes.tokens) == raw
    assert of_bytes.sha256 == hashlib.sha256(raw).hexdigest()
    assert of_bytes.counts.tolist() == [raw.count(byte) for byte in range(256)]


@pytest.mark.parametrize("streamed", ["never", "always"])
def test_a_corpus_too_short_or_with_too_many_characters_is_refused(
    put: Put, monkeypatch: pytest.MonkeyPatch, streamed: str
) -> None:
    for data, found in {
        "x": "has only 1 character: a corpus needs at least 2 characters",
        "": "is empty",
    }.items():
        put("t.txt", data)
        with pytest.raises(CorpusError, match=rf"t\.txt {found}"):
            load("t.txt", streamed=streamed)
    put("t.txt", "x")
    with pytest.raises(CorpusError, match=r"t\.txt has only 1 byte: a corpus needs at least 2 bytes"):
        load("t.txt", tokens="bytes", streamed=streamed)
    monkeypatch.setattr(vocabulary, "_LARGEST", 299)
    put("t.txt", WIDE)
    with pytest.raises(VocabularyError, match=r"t\.txt: it has 300 different .* corpus\.tokens = \"bytes\""):
        load("t.txt", streamed=streamed)


def test_a_corpus_too_large_for_a_device_must_be_streamed(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_RESIDENT", 8)
    put("t.txt", "nine char")
    with pytest.raises(
        CorpusError, match=r'has 9 characters, and 8 are the most.*set corpus\.streamed to "auto"'
    ):
        load("t.txt")


def test_a_built_in_name_takes_precedence_unless_a_path_is_given(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("hamlet", "mine")
    put("data/hamlet.txt", "theirs")
    sha256 = hashlib.sha256(b"theirs").hexdigest()
    monkeypatch.setitem(BUILT_IN, "hamlet", BUILT_IN["hamlet"]._replace(sha256=sha256))
    assert text_of(load("hamlet").tokens) == "theirs"
    assert text_of(load("./hamlet").tokens) == "mine"


@pytest.mark.parametrize("name", ["shakespeare", "hamlet"])
def test_the_plays_have_the_format_of_tiny_shakespeare(name, pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath)
    if not (data_folder() / f"{name}.txt").exists():
        pytest.skip(f"the corpus {name} has not been fetched")
    text = text_of(load(name).tokens)
    assert set(text) <= set("\n !&',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    assert text.endswith("\n")
    for speech in text.removesuffix("\n").split("\n\n"):
        speaker, *lines = speech.split("\n")
        assert re.fullmatch(r"[A-Z][A-Za-z &-]*:", speaker)
        assert lines
        assert all(lines)
        assert all(line == line.strip() for line in lines)


# Lookup by hash.


def found(names: list[Texts], sha256: str, streamed: str = "auto", tokens: str = "characters") -> Corpus:
    return find_corpus(names, sha256, CorpusConfig(streamed=streamed, tokens=tokens))


@pytest.mark.parametrize("streamed", ["always", "never"])
@pytest.mark.parametrize("name", ["a.txt", "b.txt", "data/c.txt"])
def test_a_corpus_is_found_by_hash_at_its_path_or_in_the_data_folder(
    put: Put, name: str, streamed: str
) -> None:
    for each in ("a.txt", "b.txt", "data/c.txt", "data/d.txt"):
        put(each, f"the text of {each}")
    put("data/no.txt", b"\xff")
    again = found(["a.txt", ("b.txt",)], load(name).sha256, streamed)
    assert text_of(again.tokens) == f"the text of {name}"
    assert again.path == (Path(name).absolute() if name != "b.txt" else (Path(name).absolute(),))
    assert again.name == (str(Path(name).absolute()) if "data" in name else "b.txt")
    assert (again.tokens.file is not None) == (streamed == "always")


def test_any_file_of_the_data_folder_can_be_a_byte_corpus(put: Put) -> None:
    data = b"\xef\xbb\xbfa\r\n\0\xff\xfe"
    put("data/image.png", data)
    put("data/tokens/known/x", b"")
    sha256 = load("data/image.png", tokens="bytes").sha256
    assert text_of(found(["gone.png"], sha256, tokens="bytes").tokens) == data
    with pytest.raises(CorpusError, match=r"there is no file gone\.png"):
        found(["gone.png"], sha256)


def test_cached_token_ids_are_sufficient(put: Put) -> None:
    path = put("t.txt", TEXT)
    corpus = load("t.txt", streamed="always")
    path.unlink()
    for streamed in ("always", "auto"):
        again = found(["gone.txt", "t.txt"], corpus.sha256, streamed)
        assert (text_of(again.tokens), again.sha256, again.name) == (TEXT, corpus.sha256, "t.txt")
        np.testing.assert_array_equal(again.counts, corpus.counts)
    with pytest.raises(CorpusError, match=r"there is no file gone\.txt"):
        found(["gone.txt", "t.txt"], corpus.sha256, "never")


@pytest.mark.parametrize("streamed", ["always", "never"])
def test_another_corpus_at_the_path_is_reported_and_not_cached(put: Put, streamed: str) -> None:
    put("a.txt", TEXT)
    with pytest.raises(CorpusError, match=r"a\.txt is not the corpus that the run began with"):
        found(["a.txt", "nowhere.txt"], "0" * 64, streamed)
    assert not list(Path("cache").rglob("tokens.json"))


@pytest.mark.parametrize("sha256", ["../../../outside", "0" * 63, "0" * 63 + "/", "G" * 64])
def test_an_invalid_hash_is_never_used_as_a_path(put: Put, sha256: str) -> None:
    put("a.txt", TEXT)
    with pytest.raises(CorpusError, match="is not the SHA-256 of a corpus; restore "):
        found(["gone.txt"], sha256)


# The start of a large corpus.


@pytest.mark.usefixtures("small")
def test_only_the_start_of_a_corpus_is_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("t/a", TEXT)
    put("t/b", b"\xff")  # invalid UTF-8, not reached
    assert text_of(read_first(find("t"), 30).tokens) == TEXT[:30]
    assert text_of(read_first(find("t", tokens="bytes"), 300).tokens) == (TEXT.encode() + b"\xff")[:300]
    with pytest.raises(CorpusError, match="t/b is not UTF-8"):
        read_first(find("t"), 10**6)
    assert read_start("t/a", "characters", 30) == TEXT
    monkeypatch.setattr("jaxrnn.data.sources.RESIDENT_BYTES", 100)
    assert read_start("t/a", "characters", 30) == TEXT[:30]
    assert read_start("t/a", "bytes", 30) == TEXT.encode()[:30]


# Training and validation splits.


@pytest.mark.parametrize("length", [0, 1, 2, 9, 10, 11, 1_115_394])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_the_splits_cover_the_corpus_with_the_given_fractions(length, fraction):
    training, held_out = split_lengths(length, fraction)
    assert training + held_out == length
    assert abs(held_out - length * fraction) < 1


def test_split_lengths_are_not_off_by_rounding():
    for tenth in range(10):
        assert split_lengths(1000, tenth / 10) == [1000 - 100 * tenth, 100 * tenth]
    assert split_lengths(1_115_394, 0.1) == [1_003_854, 111_540]  # Tiny Shakespeare, as in published results
    assert split_lengths(1000, 0.2, 0.1) == [700, 200, 100]
    assert split_lengths(1000, 0.0, 0.3) == [700, 0, 300]


def test_the_validation_split_is_a_view_of_the_end():
    ids = np.arange(10, dtype=np.uint8)
    training, held_out = split_corpus(in_memory(Vocabulary("abcdefghij"), ids), 0.2)
    assert training.read().tolist() == [*range(8)]
    assert held_out.read().tolist() == [8, 9]
    assert np.shares_memory(ids, training.read())
    assert np.shares_memory(ids, held_out.read())


def config(**sizes):
    fraction = sizes.pop("validation_fraction", 0.1)
    return Config(corpus=CorpusConfig(validation_fraction=fraction), train=TrainConfig(**sizes))


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        ({"batch_size": 4, "seq_len": 5}, 4 * 6 + 1),
        ({"batch_size": 1, "seq_len": 1}, 3),
        ({"batch_size": 4, "seq_len": 5, "stateful": False}, 6),
    ],
)
def test_the_minimum_length_for_a_batch(sizes, least):
    sizes["validation_fraction"] = 0.0
    check_length("t.txt", least, config(**sizes))
    with pytest.raises(CorpusError, match=f"needs {least} for training"):
        check_length("t.txt", least - 1, config(**sizes))


def test_a_short_corpus_is_refused_with_sizes_that_fit():
    with pytest.raises(CorpusError) as caught:
        check_length("t.txt", 100, config(batch_size=32, seq_len=32))
    assert str(caught.value) == (
        "t.txt has 100 characters, 90 for training and 10 for validation; batch_size = 32 with seq_len = 32 needs "
        "1,057 for training: try batch_size = 2 or seq_len = 1 or a longer corpus"
    )


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("length", [4, 10, 100, 1000])
@pytest.mark.parametrize(("batch_size", "seq_len"), [(32, 32), (1000, 1000), (2, 5000), (5000, 2)])
def test_every_proposed_size_fits(length, batch_size, seq_len, stateful):
    asked = {"batch_size": batch_size, "seq_len": seq_len, "stateful": stateful, "validation_fraction": 0.0}
    with_batch_of = "batch_size = (\\d+)( with seq_len = (\\d+))?|seq_len = (\\d+)"
    try:
        check_length("t.txt", length, config(**asked))
    except CorpusError as error:
        proposals = list(re.finditer(with_batch_of, str(error).split("try ")[1]))
        assert proposals
        for proposal in proposals:
            batch, _, both, alone = proposal.groups()
            fitting = {"batch_size": int(batch or batch_size), "seq_len": int(both or alone or seq_len)}
            check_length("t.txt", length, config(**{**asked, **fitting}))
            larger = {"batch_size": fitting["batch_size"] + bool(batch and not both)}
            larger["seq_len"] = fitting["seq_len"] + bool(both or alone)
            with pytest.raises(CorpusError):
                check_length("t.txt", length, config(**{**asked, **larger}))
    else:
        assert length > seq_len  # long enough


def test_a_validation_split_has_0_or_at_least_2_tokens():
    sizes = {"batch_size": 1, "seq_len": 1}
    check_length("t.txt", 20, config(**sizes))
    check_length("t.txt", 10, config(**sizes, validation_fraction=0.0))
    with pytest.raises(CorpusError, match="9 for training and 1 for validation; validation needs 2"):
        check_length("t.txt", 10, config(**sizes))
