"""Pieces are whole, and together they are the file."""

import random

import pytest

from jaxrnn.data import pieces
from jaxrnn.data.pieces import normalised, read_pieces
from jaxrnn.data.texts import decode_text

from .conftest import Put


@pytest.mark.parametrize("size", [5, 6, 7, 8, 64])
def test_no_character_and_no_line_end_is_cut(put: Put, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pieces, "_PIECE", size)
    rng = random.Random(size)
    for _ in range(40):
        data = "".join(
            rng.choices(["a", "é", "€", "😀", "\r", "\n", "\r\n", "\ufeff"], k=rng.randint(2, 40))
        ).encode()
        path = put("t.txt", data)
        read = list(read_pieces(path, "t.txt"))
        assert b"".join(piece.data for piece in read) == data
        assert [piece.start for piece in read] == [0, *(piece.end for piece in read)][:-1]
        assert len(read) >= len(data) // size
        try:
            whole = decode_text(data, "t.txt")
        except Exception:  # a mark and a single character
            continue
        assert "".join(normalised(piece).decode() for piece in read) == whole


def test_reading_goes_on_from_the_end_of_a_piece(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 8)
    path = put("t.txt", "äöü\r\n" * 9)
    read = list(read_pieces(path, "t.txt"))
    assert list(read_pieces(path, "t.txt", read[2].end)) == read[3:]


def test_bytes_are_cut_anywhere(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 5)
    path = put("t.txt", "äöü\r\n" * 3)
    assert [len(piece.data) for piece in read_pieces(path, "t.txt", is_text=False)] == [5, 5, 5, 5, 4]
