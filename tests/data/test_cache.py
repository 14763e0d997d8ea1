"""The token cache: written once by one process, verified, optional, and limited in size."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxrnn.data import cache, corpus
from jaxrnn.data.cache import entry_folder, open_entry, tokens_folder
from jaxrnn.data.corpus import hash_corpus, read_corpus
from jaxrnn.data.coverage import keep_known
from jaxrnn.data.sources import Source
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import CorpusError, SaveError

from .conftest import Put, find, load, text_of


def entries() -> list[str]:
    return sorted(path.name for path in tokens_folder().iterdir() if path.name not in ("known", ".lock"))


def stream(put: Put, name: str, text: str) -> Path:
    """Return the cache entry of a text."""
    file = load(str(put(name, text)), streamed="always").tokens.file
    assert file is not None
    return file.parent


def test_an_entry_is_keyed_by_content_and_several_files_are_one_corpus(put: Put) -> None:
    for name in "abc":
        put(f"t/{name}", f"text {name}")
    corpus = load("t", separator="|", streamed="always")
    assert entries() == [f"{corpus.sha256}-characters"]
    assert stream(put, "joined", "text a|text b|text c") == entry_folder(corpus.sha256, "characters")
    assert entries() == [f"{corpus.sha256}-characters"]


def test_a_corpus_is_read_once_until_a_file_changes(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("t.txt", "first text")
    first = load("t.txt", streamed="always")
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "read_source", None)
        assert text_of(load("t.txt", streamed="always").tokens) == "first text"
        assert hash_corpus(find("t.txt")) == first.sha256
    date = path.stat()
    path.write_text("other text")
    os.utime(path, ns=(date.st_atime_ns, date.st_mtime_ns))  # same size and modification time
    assert text_of(load("t.txt", streamed="always").tokens) == "other text"


@pytest.mark.parametrize(("seconds", "is_known"), [(-1, False), (0, False), (-3, True), (3600, True)])
def test_a_just_modified_file_is_read_again_but_not_one_from_the_future(
    put: Put, monkeypatch: pytest.MonkeyPatch, seconds: float, is_known: bool
) -> None:
    path = put("t.txt", "some text")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    changed = now + int(seconds * 1e9)
    os.utime(path, ns=(changed, changed))
    load("t.txt", streamed="always")
    assert (tokens_folder() / "known").exists() == is_known


def test_only_a_streamed_corpus_is_cached_and_reports_progress(
    put: Put,
) -> None:
    put("t.txt", "some text")
    told: list[tuple[str, int, int]] = []
    read_corpus(find("t.txt", streamed="never"), on_progress=lambda *progress: told.append(progress))
    assert not tokens_folder().exists()
    assert told == []
    read_corpus(find("t.txt", streamed="always"), on_progress=lambda *progress: told.append(progress))
    assert told[-1] == (f"tokenizing t.txt, once, into {tokens_folder()}", 9, 9)
    assert ("reading t.txt", 9, 9) in told


# Corrupt entries.


def test_flipped_bits_are_detected_and_the_entry_is_rebuilt(put: Put) -> None:
    folder = stream(put, "t.txt", "hä")
    sizes = {path: path.stat().st_size for path in folder.iterdir()}
    assert sorted(path.name for path in sizes) == ["ids", "tokens.json"]
    flips = [(path, bit) for path, size in sizes.items() for bit in range(0, 8 * size, 5)]
    for path, bit in flips:
        whole = bytearray(path.read_bytes())
        whole[bit // 8] ^= 1 << bit % 8
        damaged = bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found = open_entry(folder)
        # Equivalent JSON is not corrupt: "\\u00e4" and "\\u00E4", a space or a newline after the record.
        assert found is None or (text_of(found[0]), found[1].tolist()) == ("hä", [1, 1]), (path, bit)
        assert found is None or path.name == "tokens.json"
        path.write_bytes(whole)
    assert open_entry(folder)
    path, bit = flips[0]
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert text_of(load("t.txt", streamed="always").tokens) == "hä"
    assert open_entry(folder)


@pytest.mark.parametrize("damage", ["short", "gone", "garbage", "deep", "another", "folder"])
def test_an_invalid_entry_is_rebuilt(put: Put, damage: str) -> None:
    folder = stream(put, "t.txt", "some text")
    ids, record = folder / "ids", folder / "tokens.json"
    match damage:
        case "short":
            ids.write_bytes(ids.read_bytes()[:-1])
        case "gone":
            ids.unlink()
        case "garbage":
            record.write_text("[]")
        case "deep":
            record.write_text("[" * 100_000)
        case "another":  # with its own valid hash
            values = json.loads(record.read_text()) | {
                "vocabulary": '{"characters": "ba", "tokens": "characters"}'
            }
            del values["sha256"]
            record.write_text(json.dumps({**values, "sha256": cache._hash_of(values)}))
        case "folder":
            ids.unlink()
            ids.mkdir()
    assert open_entry(folder) is None
    assert text_of(load("t.txt", streamed="always").tokens) == "some text"
    assert open_entry(folder)


@pytest.mark.parametrize("content", ["", "{}", '{"sha256": "../../x"}', '{"sha256": 5}', "[" * 100_000])
def test_invalid_cached_hashes_are_ignored(put: Put, content: str) -> None:
    stream(put, "t.txt", "some text")
    (known,) = (tokens_folder() / "known").iterdir()
    known.write_text(content)
    assert text_of(load("t.txt", streamed="always").tokens) == "some text"
    assert json.loads(known.read_text()) == {"sha256": hash_corpus(find("t.txt"))}


# Failed writes.


def test_the_cache_folder_can_be_set(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", "scratch/ids")
    assert stream(put, "t.txt", "some text").parent == tmp_path / "scratch/ids"


@pytest.mark.parametrize(
    "what", ["is not UTF-8", "was changed while it was read", "No space left", "MB are needed"]
)
def test_a_failure_leaves_no_files(put: Put, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = put("t.txt", b"some text\xff" if "UTF-8" in what else b"some text")
    tokenized: list[str] = []

    def on_progress(doing: str, *_: int) -> None:
        tokenized.append(doing)
        if "changed" in what and doing.startswith("tokenizing"):
            path.write_text("some tex!")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if "space" in what:
        monkeypatch.setattr(cache, "put_in_place", full)
    if "needed" in what:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises((CorpusError, SaveError), match=what) as caught:
        read_corpus(find("t.txt", streamed="always"), on_progress=on_progress)
    if isinstance(caught.value, SaveError):
        assert "token ids can't be written" in str(caught.value)
        assert "set JAXRNN_TOKENS to another folder" in str(caught.value)
    assert not tokens_folder().exists() or entries() == []


def test_a_file_that_changes_between_two_passes_is_refused(put: Put) -> None:
    for other in ("other text", "some"):  # with new characters, and shorter
        path = put("t.txt", "some text")
        load("t.txt", streamed="always")
        for name in entries():
            shutil.rmtree(tokens_folder() / name)  # so that the token ids are written again

        def change(doing: str, *_: int, path: Path = path, other: str = other) -> None:
            if doing.startswith("reading"):
                path.write_text(other)

        with pytest.raises(CorpusError, match="was changed while it was read"):
            read_corpus(find("t.txt", streamed="always"), on_progress=change)
        assert entries() == []


# Several processes.

SLOWLY = """
import time
from jaxrnn.config import CorpusConfig
from jaxrnn.data import texts
from jaxrnn.data.corpus import load_corpus

texts._PIECE = 1 << 10
load_corpus(CorpusConfig(text="t.txt", streamed="always"), on_progress=lambda *_: time.sleep(0.002))
"""


def test_killed_and_concurrent_writers(put: Put) -> None:
    put("t.txt", "some text, and more of it\n" * 10_000)
    killed, waiting = (subprocess.Popen([sys.executable, "-c", SLOWLY]) for _ in range(2))
    while not list(tokens_folder().glob("partial-*/ids")):
        assert killed.poll() is waiting.poll() is None
        time.sleep(0.002)
    killed.kill()
    third = subprocess.Popen([sys.executable, "-c", SLOWLY])
    assert killed.wait() == -signal.SIGKILL
    assert waiting.wait(60) == third.wait(60) == 0
    corpus = load("t.txt", streamed="never")
    assert entries() == [f"{corpus.sha256}-characters"]
    found = open_entry(entry_folder(corpus.sha256, "characters"))
    assert found
    np.testing.assert_array_equal(found[0].read(), corpus.tokens.read())


def test_a_waiting_process_uses_the_entry_of_another(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    source: Source = find(str(put("t.txt", "some text")), streamed="always")
    lock, told = fcntl.flock, []

    def flock(_: object, operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            raise BlockingIOError
        monkeypatch.setattr(fcntl, "flock", lock)
        read_corpus(source)

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(cache, "_evict", lambda _: told.append("written"))
    read_corpus(source, on_progress=lambda doing, *_: told.append(doing))
    assert told.count("written") == 1
    assert any(doing.startswith("waiting for another process") for doing in told)


@pytest.mark.parametrize("has_locks", [True, False])
def test_leftovers_of_a_killed_process_are_deleted_if_locks_work(
    put: Put, monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if not has_locks:
        monkeypatch.setattr(fcntl, "flock", refuse)
    (tokens_folder() / "partial-other").mkdir(parents=True)
    folder = stream(put, "t.txt", "some text")
    assert open_entry(folder)
    assert entries() == sorted([folder.name] + ["partial-other"] * (not has_locks))


# The limit.


def test_the_least_recently_used_entries_above_the_limit_are_deleted(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [stream(put, f"{name}.txt", f"the text of {name}" * 50) for name in "abc"]
    for age, folder in enumerate(folders):
        os.utime(folder / "tokens.json", (age, age))
    size = sum(path.stat().st_size for path in folders[0].iterdir())
    load("a.txt", streamed="always")  # used again
    monkeypatch.setattr(cache, "LIMIT", 3 * size + size // 2)
    new = stream(put, "d.txt", "the text of d" * 50)
    assert {path.exists() for path in (folders[0], folders[2], new)} == {True}
    assert not folders[1].exists()
    monkeypatch.setattr(cache, "LIMIT", 0)
    newest = stream(put, "e.txt", "the text of e")
    assert entries() == [newest.name]  # an entry in use stays, whatever its size


def test_an_open_corpus_stays_readable_after_its_entry_is_deleted(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LIMIT", 0)
    corpus = load(str(put("t.txt", "some text")), streamed="always")
    fewer = keep_known(Vocabulary("emost"), corpus)
    assert len(entries()) == 1
    assert (text_of(corpus.tokens), text_of(fewer)) == ("some text", "sometet")
