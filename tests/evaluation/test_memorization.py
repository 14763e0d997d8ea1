"""Copied strings, against a search for every string."""

import random

import numpy as np
import pytest

from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import byte_vocabulary
from jaxrnn.evaluation import memorization
from jaxrnn.evaluation.memorization import Copied


def find_copied(
    text: np.ndarray, source: np.ndarray, lengths: tuple[int, ...] = memorization.LENGTHS
) -> Copied:
    return memorization.find_copied(text, in_memory(byte_vocabulary(), source), lengths)


def as_ids(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text], np.uint16)


def brute_force(text: str, source: str, lengths: tuple[int, ...]) -> tuple[dict[int, float], int, int]:
    shares = {}
    for n in lengths:
        strings = [text[i : i + n] for i in range(len(text) - n + 1)]
        shares[n] = sum(string in source for string in strings) / len(strings) if strings else 0.0
    passages = [
        (i - j, i) for i in range(len(text)) for j in range(i + 1, len(text) + 1) if text[i:j] in source
    ]
    length, start = min(passages, default=(0, 0))
    return shares, -length, start


@pytest.mark.parametrize("piece", [7, 64, 2**20])
@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_a_search_for_every_string(monkeypatch, seed: int, piece: int) -> None:
    monkeypatch.setattr(memorization, "_PIECE", piece)
    rng = random.Random(seed)
    source = "".join(rng.choices("ab", k=300))
    longest = rng.choice([4, 20, 150])
    pieces = [source[i : i + rng.randrange(3, longest)] for i in rng.sample(range(140), 3)]
    text = "c".join(pieces)
    lengths = (1, 2, 3, 16, 31, 32, 64)
    assert find_copied(as_ids(text), as_ids(source), lengths) == brute_force(text, source, lengths)


def test_a_text_is_copied_from_itself_and_not_from_an_empty_source() -> None:
    text = as_ids("to be or not to be, that is the question: whether 'tis nobler in the mind")
    assert find_copied(text, text) == ({16: 1.0, 32: 1.0, 64: 1.0}, len(text), 0)
    none = ({16: 0.0, 32: 0.0, 64: 0.0}, 0, 0)
    assert find_copied(text, text[:0]) == find_copied(text[:0], text) == none
    assert find_copied(text, text + 1000) == none


def test_a_text_of_one_repeated_character() -> None:
    found = find_copied(np.zeros(5000, np.uint8), np.zeros(3000, np.uint8))
    assert found == ({16: 1.0, 32: 1.0, 64: 1.0}, 3000, 0)


def test_the_order_of_ids_matters() -> None:
    source = np.arange(64, dtype=np.uint8)
    assert find_copied(source[::-1], source, (2,)) == ({2: 0.0}, 1, 0)
    swapped = source.copy()
    swapped[[30, 31]] = swapped[[31, 30]]
    found = find_copied(swapped, source, (16,))
    assert found.longest == 32 and found.start == 32
    assert found.shares[16] == pytest.approx((15 + 17) / 49)
