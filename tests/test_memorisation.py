import random

import pytest

from jaxrnn.memorisation import LENGTHS, copied


def brute_force(text: str, source: str) -> tuple[dict[int, float], int]:
    shares = {}
    for n in LENGTHS:
        strings = [text[i : i + n] for i in range(len(text) - n + 1)]
        shares[n] = sum(string in source for string in strings) / len(strings) if strings else 0.0
    longest = max(
        (j - i for i in range(len(text)) for j in range(i, len(text) + 1) if text[i:j] in source), default=0
    )
    return shares, longest


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_looking_for_every_string_finds(seed: int) -> None:
    rng = random.Random(seed)
    source = "".join(rng.choices("ab", k=300))
    pieces = [source[i : i + rng.randrange(5, 80)] for i in rng.sample(range(220), 3)]
    text = "c".join(pieces)
    shares, longest = brute_force(text, source)
    found = copied(text, source)
    assert found.shares == shares
    assert len(found.longest) == longest
    assert found.longest in text and found.longest in source


def test_a_text_is_copied_from_itself_whole_and_from_nothing_not_at_all() -> None:
    text = "to be or not to be, that is the question: whether 'tis nobler in the mind"
    assert copied(text, text) == ({16: 1.0, 32: 1.0, 64: 1.0}, text)
    assert copied(text, "") == copied("", text) == ({16: 0.0, 32: 0.0, 64: 0.0}, "")
