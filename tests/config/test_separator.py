"""What stands between documents: one character, and what a model is told of it."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from jaxrnn.config import CorpusConfig, ModelConfig, dump_config, parse_config
from jaxrnn.errors import ConfigError


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "my.toml", overrides)
    message = str(error.value)
    assert message.isprintable()
    return message


def test_a_separator_is_written_as_toml_writes_characters() -> None:
    for written, character in (("\\n", "\n"), ("\\u001E", "\x1e"), (";", ";")):
        text = f'[corpus]\nseparator = "{written}"'
        assert parse_config(text, "my.toml").corpus.separator == character
        assert parse_config("", "my.toml", [f'corpus.separator="{written}"']).corpus.separator == character
    assert parse_config("[corpus]", "my.toml").corpus.separator == ""


MARKS = ["<|endoftext|>", "\n\n", "it's / $HOME @x", "été\u2028", "--"]


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_of_several_characters_comes_with_the_shell_line_that_replaces_it(mark: str) -> None:
    with pytest.raises(ConfigError, match="must be one character, as the state is reset at one") as error:
        CorpusConfig(separator=mark)
    message = str(error.value)
    assert message.isprintable()
    if shutil.which("perl") is None:
        pytest.skip("no perl here to run the line with")
    line = message.partition(" say: ")[2].replace("OLD > NEW", "")
    given = f"a{mark}b{mark}{mark}\nc".encode()
    made = subprocess.run(["sh", "-c", line], input=given, stdout=subprocess.PIPE, check=True).stdout
    assert made == b"a\x1eb\x1e\x1e\nc"


def test_a_mark_of_any_length_is_refused_in_a_short_line() -> None:
    assert "s/MARK/" in refused("", "corpus.separator=" + "x" * 100_000)
    assert len(refused("", "corpus.separator=" + "x" * 100_000)) < 300


def test_an_escape_that_was_not_read_as_one_says_how_to_write_it() -> None:
    for message in (refused("[corpus]\nseparator = '\\n'"), refused("", r"corpus.separator=\n")):
        assert """--set 'corpus.separator="\\n"'""" in message


def test_a_models_reset_id_stands_in_no_file() -> None:
    assert "did you mean" not in refused("[model]\nreset_id = 3")
    assert "model.reset_id: unknown key; [model] has layers" in refused("[model]\nreset_id = 3")
    assert "unknown key" in refused("", "model.reset_id=3")
    config = parse_config("[corpus]\nseparator = ';'", "my.toml")
    resolved = replace(config, model=replace(config.model, reset_id=3))
    assert resolved != config
    assert parse_config(dump_config(resolved), "my.toml") == config


def test_models_with_and_without_one_are_different_static_arguments() -> None:
    models = [ModelConfig(), ModelConfig(reset_id=0), ModelConfig(reset_id=1)]
    assert len({*models, ModelConfig(reset_id=1)}) == 3
