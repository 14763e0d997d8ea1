"""Separator and vocabulary make the id at which the state is reset."""

from dataclasses import replace

import numpy as np
import pytest

from jaxrnn.config import Config, CorpusConfig
from jaxrnn.data import documents
from jaxrnn.data.documents import resolve_separator
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.errors import ConfigError

NAMES = Vocabulary("\nabc")


def of_documents(separator: str) -> Config:
    return Config(corpus=CorpusConfig(separator=separator))


def test_the_id_is_the_separators_in_this_vocabulary() -> None:
    config = of_documents("b")
    resolved = resolve_separator(config, NAMES)
    assert resolved.model.reset_id == 2
    assert replace(resolved, model=config.model) == config
    assert resolve_separator(resolved, Vocabulary("ab")).model.reset_id == 1  # found anew
    assert type(resolved.model.reset_id) is int


def test_without_a_separator_there_is_none() -> None:
    assert resolve_separator(of_documents(""), NAMES) == Config()
    assert resolve_separator(replace(Config(), model=replace(Config().model, reset_id=3)), NAMES) == Config()


def test_a_separator_that_the_text_lacks_is_refused_in_one_line() -> None:
    for separator in ("d", "\x1e"):
        with pytest.raises(
            ConfigError, match=r"^corpus\.separator = .*: the text does not have this"
        ) as error:
            resolve_separator(of_documents(separator), NAMES)
        assert str(error.value).isprintable()


def test_a_separator_of_several_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "encode", lambda _, text: np.frombuffer(text.encode(), np.uint8))
    assert resolve_separator(of_documents("a"), NAMES).model.reset_id == 97
    with pytest.raises(ConfigError, match=r"is 2 tokens, and the state is reset at one") as error:
        resolve_separator(of_documents("é"), NAMES)
    assert str(error.value).isprintable()
