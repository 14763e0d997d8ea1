"""From files to ids: the same as in memory, in however many pieces, from wherever it was stopped, by however many."""

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.data import numbering, pieces, tokenizing
from jaxrnn.data.cache import TokenFile, check_tokens, open_tokens, tokens_folder
from jaxrnn.data.corpus import load_corpus
from jaxrnn.data.sources import Source, find_source
from jaxrnn.data.stream import open_stream, vocabulary_of
from jaxrnn.data.tokenizing import hash_text, tokenise, without
from jaxrnn.data.vocabulary import build_vocabulary, drop_unknown, encode
from jaxrnn.errors import CorpusError, SaveError, VocabularyError

from .conftest import Put

WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))  # more characters than a byte can count
TEXTS = ["hello\r\nworld " * 40, "\ufeffnaïve — 😀\r" * 40, "few " * 90 + WIDE * 2 + " few", "ab"]


def ids_of(tokens: TokenFile) -> np.ndarray:
    return open_stream(tokens, vocabulary_of(tokens)).read(0, tokens.length)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces, and notes of the state, of a small text."""
    monkeypatch.setattr(pieces, "_PIECE", 64)
    monkeypatch.setattr(tokenizing, "_CHECKPOINT", 150)
    monkeypatch.setattr(numbering, "_CHUNK", 100)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_ids_vocabulary_and_hash_are_those_of_the_text_in_memory(put: Put, text: str, kind: str) -> None:
    put("t.txt", text)
    corpus = load_corpus("t.txt", tokens=kind)
    vocabulary = build_vocabulary(corpus.text)
    tokens = tokenise(find_source("t.txt"), kind)
    assert tokens.text_sha256 == corpus.sha256 == hash_text(find_source("t.txt"), kind)
    assert vocabulary_of(tokens) == vocabulary
    expected = encode(vocabulary, corpus.text)
    assert ids_of(tokens).dtype == expected.dtype
    np.testing.assert_array_equal(ids_of(tokens), expected)
    assert check_tokens(tokens)
    numbered = tokens.numbered
    for character, count, first in zip(numbered.characters, numbered.counts, numbered.firsts, strict=True):
        unit = character.encode("latin-1") if kind == "bytes" else character
        assert (corpus.text.count(unit), corpus.text.index(unit)) == (count, first)  # type: ignore[arg-type]
    assert [path.name for path in sorted(tokens_folder().iterdir())] == [tokens.folder.name, "known"]


def test_several_files_are_one_text(put: Put) -> None:
    for name in "abc":
        put(f"t/{name}", f"text {name}")
    put("joined", "text a|text b|text c")
    tokens = tokenise(find_source("t"), "characters", "|")
    assert tokens.text_sha256 == load_corpus("joined").sha256
    assert tokenise(find_source("joined"), "characters") == tokens  # the same content is the same entry


def test_a_text_is_read_once_until_its_file_changes(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("t.txt", "first text")
    tokens = tokenise(find_source("t.txt"), "characters")
    with monkeypatch.context() as patch:
        patch.setattr(tokenizing, "read_text", None)
        assert tokenise(find_source("t.txt"), "characters") == tokens
        assert hash_text(find_source("t.txt"), "characters") == tokens.text_sha256
    date = path.stat()
    path.write_text("other text")
    os.utime(path, ns=(date.st_atime_ns, date.st_mtime_ns))  # of the same size, and under the same date
    assert tokenise(find_source("t.txt"), "characters").text_sha256 == load_corpus("t.txt").sha256


def test_a_file_so_new_that_it_could_change_unseen_is_read_again(put: Put) -> None:
    path = put("t.txt", "some text")
    os.utime(path)
    tokenise(find_source("t.txt"), "characters")
    assert not (tokens_folder() / "known").exists()


@pytest.mark.parametrize("damage", ["short", "gone", "garbage", "deep"])
def test_an_entry_that_is_damaged_is_made_again(put: Put, damage: str) -> None:
    put("t.txt", "some text")
    source = find_source("t.txt")
    tokens = tokenise(source, "characters")
    match damage:
        case "short":
            tokens.file.write_bytes(tokens.file.read_bytes()[:-1])
        case "gone":
            tokens.file.unlink()
        case "garbage":
            (tokens.folder / "tokens.json").write_text("{}")
        case "deep":
            (tokens.folder / "tokens.json").write_text("[" * 100_000)
    assert open_tokens(tokens.folder) is None
    assert tokenise(source, "characters") == tokens
    assert check_tokens(tokens)


def test_a_flipped_bit_is_found_where_it_is_looked_for(put: Put) -> None:
    put("t.txt", "some text")
    tokens = tokenise(find_source("t.txt"), "characters")
    data = bytearray(tokens.file.read_bytes())
    data[3] ^= 1
    tokens.file.write_bytes(data)
    assert open_tokens(tokens.folder) == tokens
    assert not check_tokens(tokens)


def test_the_folder_can_be_deleted_or_be_elsewhere(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("t.txt", "some text")
    monkeypatch.setenv("JAXRNN_TOKENS", "scratch/ids")
    tokens = tokenise(find_source("t.txt"), "characters")
    assert tokens.folder.parent == tmp_path / "scratch/ids"


# What is refused.


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 100 + b"\0", r"t/b is binary, not text \(a NUL byte at offset 100\)"),
        (b"x" * 100 + b"\xff" + b"y" * 100, "t/b is not UTF-8: bad byte 0xff at offset 100"),
        ("x" * 127 + "é", None),
        (b"x" * 127 + b"\xc3", "t/b is not UTF-8: bad byte 0xc3 at offset 127"),
        (b"\xff\xfex\0", "t/b looks like UTF-16"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_the_place(
    put: Put, content: str | bytes, message: str | None
) -> None:
    put("t/a", "fine")
    put("t/b", content)
    if message is None:
        assert tokenise(find_source("t"), "characters").length == 4 + 128
        return
    with pytest.raises(CorpusError, match=message):
        tokenise(find_source("t"), "characters")
    assert list(tokens_folder().glob("partial-*")) == []
    assert tokenise(find_source("t"), "bytes").length == 4 + len(content)


def test_a_text_too_short_or_changed_meanwhile_is_refused(put: Put) -> None:
    put("t.txt", "x")
    with pytest.raises(CorpusError, match=r"t\.txt has only 1 character"):
        tokenise(find_source("t.txt"), "characters")
    with pytest.raises(CorpusError, match=r"t\.txt has only 1 byte"):
        tokenise(find_source("t.txt"), "bytes")
    path = put("t.txt", "xyz" * 1000)

    def append(*_: object) -> None:
        with path.open("a") as file:
            file.write("more")

    with pytest.raises(CorpusError, match="was changed while it was read"):
        tokenise(find_source("t.txt"), "characters", report=append)
    assert list(tokens_folder().glob("partial-*")) == []


def test_more_characters_than_an_id_can_count_are_refused(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "_LARGEST", 299)
    put("t.txt", WIDE)
    with pytest.raises(VocabularyError, match="more than 299 different characters"):
        tokenise(find_source("t.txt"), "characters")


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_one_line_and_what_is_there_is_gone_on_with(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("t.txt", "some text " * 100)
    whole = load_corpus("t.txt")
    add, calls = numbering.Numbering.add_bytes, []

    def fail(self: numbering.Numbering, data: bytes) -> None:
        calls.append(data)
        if len(calls) == 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(self, data)

    monkeypatch.setattr(numbering.Numbering, "add_bytes", fail)
    with pytest.raises(
        SaveError, match=r"No space left.*JAXRNN_TOKENS; what is written already is gone on with"
    ):
        tokenise(find_source("t.txt"), "characters")
    monkeypatch.setattr(tokenizing, "require_space", fail_for_space)
    assert tokenise(find_source("t.txt"), "characters").text_sha256 == whole.sha256
    assert list(tokens_folder().glob("partial-*")) == []
    put("u.txt", "other text")
    with pytest.raises(SaveError, match=r"about 0\.0 MB are needed"):
        tokenise(find_source("u.txt"), "characters")
    assert list(tokens_folder().glob("partial-*")) == []  # nothing was noted of it yet


def fail_for_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "about 0.0 MB are needed, 0.0 MB are free")


# Stopped, and gone on with.


class StoppedError(Exception):
    """Where the process would have been killed."""


def stop_after(calls: int) -> Callable[[str, int, int], None]:
    """A report that stops the tokenising; it is told once a piece."""
    told: list[str] = []

    def report(what: str, *_: int) -> None:
        told.append(what)
        if len(told) == calls:
            raise StoppedError

    return report


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("text", TEXTS[:3])
def test_stopped_after_any_piece_it_goes_on_from_what_was_noted(put: Put, text: str) -> None:
    put("t/a", text)
    put("t/b", text[::-1] if text.isascii() else text)
    expected = load_corpus("t")
    source = find_source("t")
    for calls in (2, 3, 2, 5, 4):
        with pytest.raises(StoppedError):
            tokenise(source, "characters", report=stop_after(calls))
    reported: list[tuple[str, int]] = []
    tokens = tokenise(source, "characters", report=lambda what, done, _: reported.append((what, done)))
    assert tokens.text_sha256 == expected.sha256
    np.testing.assert_array_equal(ids_of(tokens), encode(build_vocabulary(expected.text), expected.text))
    assert check_tokens(tokens)
    written = [done for what, done in reported if what.startswith("tokenising")]
    checked = [done for what, done in reported if what.startswith("checking")]
    assert checked  # it did go on, not begin again
    assert written[0] > checked[-1] >= 150


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["ids", "state", "text"])
def test_what_is_there_is_gone_on_with_only_if_it_is_what_was_noted(put: Put, damage: str) -> None:
    put("t.txt", "some text " * 100)
    source = find_source("t.txt")
    with pytest.raises(StoppedError):
        tokenise(source, "characters", report=stop_after(9))
    (partial,) = tokens_folder().glob("partial-*")
    state = json.loads((partial / "state.json").read_text())
    match damage:
        case "ids":
            ids = partial / "entry" / "ids.uint8"
            ids.write_bytes(ids.read_bytes()[:50])
        case "state":
            (partial / "state.json").write_text(json.dumps({**state, "counts": []}))
        case "text":
            (partial / "state.json").write_text(json.dumps({**state, "text_sha256": "0" * 64}))
    tokens = tokenise(source, "characters")
    assert tokens.text_sha256 == load_corpus("t.txt").sha256
    assert check_tokens(tokens)


SLOWLY = """
import time
from jaxrnn.data import pieces, tokenizing
from jaxrnn.data.sources import find_source

pieces._PIECE, tokenizing._CHECKPOINT = 1 << 10, 1 << 14
tokenizing.tokenise(find_source("t.txt"), "characters", report=lambda *_: time.sleep(0.002))
"""


def test_killed_or_two_at_once_all_ends_well(put: Put) -> None:
    put("t.txt", "some text, and more of it\n" * 10_000)
    killed, waiting = (subprocess.Popen([sys.executable, "-c", SLOWLY]) for _ in range(2))
    while not (states := list(tokens_folder().glob("partial-*/state.json"))):
        assert killed.poll() is waiting.poll() is None
        time.sleep(0.002)
    killed.kill()
    third = subprocess.Popen([sys.executable, "-c", SLOWLY])
    assert killed.wait() == -signal.SIGKILL
    assert waiting.wait(60) == third.wait(60) == 0
    (entry,) = tokens_folder().glob("*-characters")
    tokens = open_tokens(entry)
    assert tokens
    assert tokens.text_sha256 == load_corpus("t.txt").sha256
    assert check_tokens(tokens)
    assert not states[0].parent.exists()


def test_without_locks_everyone_writes_for_themselves(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    put("t.txt", "some text")
    assert check_tokens(tokenise(find_source("t.txt"), "characters"))


def test_what_nobody_will_go_on_with_is_deleted_in_time(put: Put) -> None:
    put("t.txt", "some text")
    old, new = (tokens_folder() / f"partial-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    tokenise(find_source("t.txt"), "characters")
    assert (old.exists(), new.exists()) == (False, True)


# Characters that a model does not have.


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_left_out_is_left_out_once(put: Put, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put("t.txt", text)
    corpus = load_corpus("t.txt")
    tokens = tokenise(find_source("t.txt"), "characters")
    vocabulary = build_vocabulary(str(corpus.text)[:4])
    known = drop_unknown(vocabulary, corpus.text)
    monkeypatch.setattr(tokenizing, "_PIECE", 100)
    fewer = without(tokens, vocabulary.characters + "@")
    np.testing.assert_array_equal(
        open_stream(fewer, vocabulary).read(0, fewer.length), encode(vocabulary, known)
    )
    assert fewer.text_sha256 == corpus.sha256
    assert without(tokens, vocabulary.characters) == fewer
    assert (fewer == tokens) == (known == corpus.text)
    assert list(tokens_folder().glob("partial-*")) == []


def test_the_source_of_a_text_says_how_large_it_is(put: Put) -> None:
    put("t.txt", "some text")
    source: Source = find_source("t.txt")
    told: list[tuple[int, int]] = []
    tokenise(source, "characters", report=lambda _, done, total: told.append((done, total)))
    assert told[-1] == (9, 9)
    assert hashlib.sha256(b"some text").hexdigest() == hash_text(source, "characters")
