"""Prompts from a file, and characters outside the vocabulary."""

from pathlib import Path

import pytest

from jaxrnn.data.vocabulary import Vocabulary, decode
from jaxrnn.errors import CorpusError, VocabularyError
from jaxrnn.sampling import known_ids, prompts_of, read_prompts


def test_every_line_is_a_prompt_with_its_spaces(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfone \r\n\n two\rthree"
    expected = {"f, line 1": "one ", "f, line 3": " two", "f, line 4": "three"}
    assert prompts_of(data, "f") == expected
    (tmp_path / "f").write_bytes(data)
    assert list(read_prompts(tmp_path / "f").values()) == list(expected.values())


@pytest.mark.parametrize(("data", "words"), [(b"", "no prompt"), (b"a\xff", "0xff at offset 1 is not UTF-8")])
def test_a_file_without_prompts_or_in_another_encoding_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=f"^f: .*{words}"):
        prompts_of(data, "f")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere\.txt \(No such file"):
        read_prompts(tmp_path / "nowhere.txt")


def test_unknown_characters_are_refused_or_dropped_and_returned() -> None:
    vocabulary = Vocabulary("ehlo")
    ids, dropped = known_ids(vocabulary, "hello!", drop=True)
    assert (decode(vocabulary, ids), dropped) == ("hello", {"!"})
    assert known_ids(vocabulary, "hello", drop=False)[1] == set()
    with pytest.raises(VocabularyError, match="'!'"):
        known_ids(vocabulary, "hello!", drop=False)
    with pytest.raises(VocabularyError, match="none of the characters"):
        known_ids(vocabulary, "!?", drop=True)
