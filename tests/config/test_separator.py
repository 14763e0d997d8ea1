"""The separator between documents: one token."""

import pytest

from jaxrnn.config import CorpusConfig, parse_config
from jaxrnn.errors import ConfigError


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "my.toml", overrides)
    message = str(error.value)
    assert message.isprintable() and len(message) < 300
    return message


def test_a_separator_is_written_as_toml_writes_characters() -> None:
    for written, character in (("\\n", "\n"), ("\\u001E", "\x1e"), (";", ";")):
        text = f'[corpus]\nseparator = "{written}"'
        assert parse_config(text, "my.toml").corpus.separator == character
        assert parse_config("", "my.toml", [f'corpus.separator="{written}"']).corpus.separator == character
    assert parse_config("[corpus]", "my.toml").corpus.separator == ""


@pytest.mark.parametrize("mark", ["<|endoftext|>", "\n\n", "it's / $HOME @x", "été\u2028", "x" * 100_000])
def test_a_mark_of_several_tokens_is_refused(mark: str) -> None:
    with pytest.raises(ConfigError, match="must be one token") as error:
        CorpusConfig(separator=mark)
    assert str(error.value).isprintable() and len(str(error.value)) < 300


def test_of_bytes_it_is_an_ascii_character() -> None:
    assert CorpusConfig(separator="é").separator == "é"
    assert CorpusConfig(separator="e", tokens="bytes").separator == "e"
    assert "must be one token" in refused('[corpus]\ntokens = "bytes"\nseparator = "é"')


def test_an_escape_that_was_not_read_as_one_says_how_to_write_it() -> None:
    for message in (refused("[corpus]\nseparator = '\\n'"), refused("", r"corpus.separator=\n")):
        assert """--set 'corpus.separator="\\n"'""" in message
