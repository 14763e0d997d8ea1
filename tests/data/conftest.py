"""A new working directory, and files old enough for their hashes to be cached."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxrnn.config import CorpusConfig, Texts
from jaxrnn.data.corpus import Corpus, load_corpus
from jaxrnn.data.sources import Source, find_source
from jaxrnn.data.tokens import TokenSource
from jaxrnn.data.vocabulary import Text, spell

Put = Callable[[str, str | bytes], Path]


def find(text: Texts, **options: str) -> Source:
    return find_source(CorpusConfig(text=text, **options))  # type: ignore[arg-type]


def load(text: Texts, **options: str) -> Corpus:
    return load_corpus(CorpusConfig(text=text, **options))  # type: ignore[arg-type]


def text_of(tokens: TokenSource) -> Text:
    return spell(tokens.vocabulary, tokens.read())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXRNN_TOKENS", raising=False)


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file whose modification time is 60 s ago."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = path.stat().st_mtime - 60
        os.utime(path, (before, before))
        return path

    return write


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces, so that a small text has many."""
    from jaxrnn.data import texts, tokens, vocabulary

    monkeypatch.setattr(texts, "_PIECE", 64)
    monkeypatch.setattr(tokens, "_CHUNK", 50)
    monkeypatch.setattr(vocabulary, "_CHUNK", 7)
