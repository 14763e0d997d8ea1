"""The scored tokens of a text, and the table of their scores."""

import csv
import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import Text, Vocabulary, build_vocabulary, byte_vocabulary, encode, spell
from jaxrnn.errors import CorpusError, SaveError
from jaxrnn.evaluation.scored_text import ScoredText, find_known, write_csv
from jaxrnn.evaluation.scoring import Scores

VOCABULARY = Vocabulary('\n",abcé')


def known(
    text: Text, vocabulary: Vocabulary = VOCABULARY, part: Literal["test", "whole"] = "whole"
) -> ScoredText:
    own = build_vocabulary(text or "x")
    return find_known(vocabulary, "text.txt", part, in_memory(own, encode(own, text)))


def zeros(scored: ScoredText) -> Scores:
    return Scores(np.zeros(scored.num_scored, np.float32), np.ones(scored.num_scored, np.int32))


def test_unseen_characters_are_counted_and_left_out() -> None:
    scored = known("xéab€xcx")
    assert (scored.name, scored.part, scored.length) == ("text.txt", "whole", 8)
    assert spell(scored.known.vocabulary, scored.known.read()) == "éabc"
    assert scored.known.vocabulary == VOCABULARY
    assert list(scored.unseen.items()) == [("x", 3), ("€", 1)]
    assert scored.positions.tolist() == [1, 2, 3, 6]
    assert (scored.num_scored, scored.num_bytes) == (3, 3)  # without the 2 bytes of the first character
    assert known("abé").num_bytes == 3
    assert scored.sha256 == hashlib.sha256("éabc".encode()).hexdigest()


@pytest.mark.parametrize(("text", "words"), [("xyz", "none of its 3"), ("xyza", "only 1 of its 4")])
@pytest.mark.parametrize("part", ["whole", "test"])
def test_a_text_without_predictions_is_refused(text: str, words: str, part: Literal["test", "whole"]) -> None:
    with pytest.raises(CorpusError, match=f"the model knows {words} characters"):
        known(text, part=part)


def test_an_empty_split_is_refused() -> None:
    for text, held_out in (("", "0 characters"), ("a", "1 character")):
        with pytest.raises(
            CorpusError, match=rf"holds out {held_out} of text\.txt for test: score another text"
        ):
            known(text, part="test")


def test_the_table_has_positions_in_the_whole_text(tmp_path: Path) -> None:
    scored = known('xa\n€,"bé\n\nc')
    scores = Scores(
        np.linspace(0, 3, scored.num_scored, dtype=np.float32), np.arange(1, scored.num_scored + 1)
    )
    write_csv(tmp_path / "rows.csv", scored, scores)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
    assert head == ["position", "character", "nll", "rank"]
    positions, characters, nats, ranks = zip(*rows, strict=True)
    assert positions == (2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)  # numbers are not quoted
    assert "".join(characters) == '\n,"bé\n\nc'
    np.testing.assert_allclose(np.array(nats), scores.nll, atol=1e-6)
    np.testing.assert_array_equal(np.array(ranks), scores.ranks)


def test_a_table_that_can_not_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    scored = known("abc")
    with pytest.raises(SaveError, match="can't be written: No such file or directory"):
        write_csv(tmp_path / "nowhere" / "rows.csv", scored, zeros(scored))
    if Path("/dev/full").exists():
        with pytest.raises(SaveError, match="/dev/full: can't be written: No space left on device"):
            write_csv(Path("/dev/full"), scored, zeros(scored))


def test_every_byte_is_scored(tmp_path: Path) -> None:
    data = "né".encode() + b'\0\xff",\r'
    scored = known(data, byte_vocabulary())
    assert (scored.length, scored.unseen, scored.num_scored, scored.num_bytes) == (8, {}, 7, 7)
    assert scored.sha256 == hashlib.sha256(data).hexdigest()
    write_csv(tmp_path / "rows.csv", scored, zeros(scored))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
    assert head == ["position", "byte", "nll", "rank"]
    positions, values = (list(map(float, column)) for column in list(zip(*rows, strict=True))[:2])
    assert (positions, values) == ([*range(1, 8)], [*data[1:]])
