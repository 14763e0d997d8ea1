"""What of a text is scored, and its table."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.data.corpus import Corpus
from jaxrnn.data.vocabulary import Vocabulary, byte_vocabulary
from jaxrnn.errors import CorpusError, SaveError
from jaxrnn.evaluation.scored_text import (
    BYTE_COLUMNS,
    COLUMNS,
    held_out_text,
    split_text,
    whole_text,
    write_csv,
)
from jaxrnn.evaluation.scoring import Scores

VOCABULARY = Vocabulary('\n",abcé')


def corpus(text: str) -> Corpus:
    return Corpus("text.txt", Path("text.txt"), text, "")


def test_what_is_unseen_is_counted_and_left_out() -> None:
    scored = whole_text(VOCABULARY, corpus("xéab€xcx"))
    assert (scored.part, scored.known, scored.unseen) == ("whole", "éabc", {"x": 3, "€": 1})
    assert (scored.num_scored, scored.num_bytes) == (
        3,
        3,
    )  # the first is not scored, its two bytes do not count
    assert whole_text(VOCABULARY, corpus("abé")).num_bytes == 3
    assert scored.sha256 == hashlib.sha256("éabc".encode()).hexdigest()


@pytest.mark.parametrize(("text", "words"), [("xyz", "none of its 3"), ("xyza", "only 1 of its 4")])
def test_a_text_of_which_nothing_can_be_predicted_is_refused(text: str, words: str) -> None:
    with pytest.raises(CorpusError, match=f"the model knows {words} characters"):
        whole_text(VOCABULARY, corpus(text))


def test_a_corpus_is_divided_as_training_divided_it() -> None:
    training, held_out = split_text(VOCABULARY, corpus("abcabcabca"), 0.3)
    assert (training, held_out) == ("abcabca", "bca")


def test_characters_that_were_dropped_before_it_was_divided_do_not_move_the_border() -> None:
    whole = corpus("xxaxbcabxcaxbcaxx")
    training, held_out = split_text(VOCABULARY, whole, 0.3)
    assert training == "abcabca"
    scored = held_out_text(VOCABULARY, whole, held_out)
    assert (scored.known, scored.unseen, scored.part) == ("bca", {"x": 2}, "held out")


def test_where_nothing_is_held_out_that_is_said() -> None:
    whole = corpus("abcabc")
    for fraction in (0.0, 0.1):
        _, held_out = split_text(VOCABULARY, whole, fraction)
        with pytest.raises(CorpusError, match=r"holds out . characters of text.txt: score another text"):
            held_out_text(VOCABULARY, whole, held_out)


def test_the_table_reads_back_with_positions_in_the_text_as_it_is(tmp_path: Path) -> None:
    text = 'xa\n€,"bé\n\nc'
    scored = whole_text(VOCABULARY, corpus(text))
    scores = Scores(
        np.linspace(0, 3, scored.num_scored, dtype=np.float32), np.arange(1, scored.num_scored + 1)
    )
    write_csv(tmp_path / "rows.csv", scored, scores)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
    assert tuple(head) == COLUMNS
    positions, characters, nats, ranks = zip(*rows, strict=True)
    assert positions == (2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)  # numbers are not quoted
    assert "".join(characters) == '\n,"bé\n\nc'
    np.testing.assert_allclose(np.array(nats), scores.nll, atol=1e-6)
    np.testing.assert_array_equal(np.array(ranks), scores.ranks)


def test_a_table_that_can_not_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    scored = whole_text(VOCABULARY, corpus("abc"))
    scores = Scores(np.zeros(2, np.float32), np.ones(2, np.int32))
    with pytest.raises(SaveError, match="can't be written: No such file or directory"):
        write_csv(tmp_path / "nowhere" / "rows.csv", scored, scores)
    if Path("/dev/full").exists():
        with pytest.raises(SaveError, match="/dev/full: can't be written: No space left on device"):
            write_csv(Path("/dev/full"), scored, scores)


def test_bytes_are_scored_one_by_one_and_none_is_unseen(tmp_path: Path) -> None:
    data = "né".encode() + b'\0\xff",\r'
    whole = Corpus("f", Path("f"), data, "")
    scored = whole_text(byte_vocabulary(), whole)
    assert (scored.known, scored.unseen, scored.num_scored, scored.num_bytes) == (data, {}, 7, 7)
    assert scored.sha256 == hashlib.sha256(data).hexdigest()
    assert split_text(byte_vocabulary(), whole, 0.25) == (data[:6], data[6:])
    write_csv(tmp_path / "rows.csv", scored, Scores(np.zeros(7, np.float32), np.ones(7, np.int32)))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
    assert tuple(head) == BYTE_COLUMNS
    positions, values = (list(map(float, column)) for column in list(zip(*rows, strict=True))[:2])
    assert (positions, values) == ([*range(1, 8)], [*data[1:]])
