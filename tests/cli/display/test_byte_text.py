"""Incremental decoding: characters are complete, and their surprisal is the sum over their bytes."""

import random

import pytest

from jaxrnn_cli.display.byte_text import characters_of


def test_the_text_does_not_depend_on_how_bytes_are_split() -> None:
    rng = random.Random(0)
    alphabet = [*range(256), *"aé日😀".encode() * 30]
    for _ in range(1000):
        data = bytes(rng.choices(alphabet, k=rng.randrange(16)))
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(5)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        nats = [rng.random() for _ in data]
        found = list(characters_of(pieces, [*nats]))
        text = "".join(piece for piece, _ in found)
        assert text == data.decode("utf-8", "surrogateescape")
        surprisal = [nat for _, of_piece in found for nat in of_piece]
        assert len(surprisal) == len(text)
        assert sum(surprisal) == pytest.approx(sum(nats))


def test_a_character_is_yielded_at_its_last_byte_with_the_sum_of_surprisals() -> None:
    pieces = [b"a\xe2", b"\x82", b"\xac\xc3", b"!\xf0"]
    found = list(characters_of(pieces, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]))
    assert found == [
        ("a", [1.0]),
        ("", []),
        ("€", [14.0]),
        ("\udcc3!", [16.0, 32.0]),
        ("\udcf0", [64.0]),
    ]
    assert [text for text, _ in characters_of(pieces)] == [text for text, _ in found]


def test_complete_characters_are_yielded_at_once() -> None:
    def pieces():
        yield b"one \xd0\xbf"
        raise AssertionError("never asked for")

    assert next(characters_of(pieces())) == ("one п", ())
