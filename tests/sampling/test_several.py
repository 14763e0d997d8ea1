"""Several samples: stop texts, the best of a group, streaming."""

from collections.abc import Iterator

import numpy as np

from jaxrnn.data.vocabulary import Vocabulary, encode
from jaxrnn.sampling import Block, Sample, best_of, finish, one_by_one

VOCABULARY = Vocabulary("abcde")


def blocks(*texts: tuple[str, ...]) -> Iterator[Block]:
    """Blocks of the new tokens of every sample; the surprisal of a token is its id."""
    for of_samples in texts:
        ids = np.stack([encode(VOCABULARY, text) for text in of_samples])
        yield Block(ids, ids.astype(np.float32))


def test_a_sample_and_its_surprisal_end_before_the_stop_text() -> None:
    first, second = finish(VOCABULARY, blocks(("abc", "ddd"), ("dab", "ecd")), "cd", 2)
    assert first == Sample("ab", [0.0, 1.0])
    assert second == Sample("ddde", [3.0, 3.0, 3.0, 4.0])
    assert (first.mean_nll, second.mean_nll, Sample("", []).mean_nll) == (0.5, 3.25, None)


def test_no_block_is_drawn_after_all_samples_have_stopped() -> None:
    drawn = blocks(("ab", "ca"), ("bb", "cb"), ("ee", "ee"))
    assert [sample.text for sample in finish(VOCABULARY, drawn, "a", 2)] == ["", "c"]
    assert len(list(drawn)) == 2


def test_without_blocks_samples_are_empty() -> None:
    assert finish(VOCABULARY, [], "", 2) == [Sample("", []), Sample("", [])]


def test_the_best_of_each_group_has_the_lowest_mean_nll_and_is_not_empty() -> None:
    empty, long, short, unlikely = (
        Sample("", []),
        Sample("bbb", [1.0] * 3),
        Sample("c", [2.0]),
        Sample("e", [4.0]),
    )
    assert best_of([empty, short, long, unlikely, empty, empty], 2) == [short, long, empty]


def test_the_first_sample_is_streamed_and_the_others_follow() -> None:
    drawn = blocks(("ab", "dd"), ("ca", "dc"), ("cc", "bb"))
    samples = one_by_one(VOCABULARY, drawn, "c", 2)
    pieces, nll = next(samples)
    assert ["".join(piece) for piece in pieces] == ["ab", ""]
    assert nll[:2] == [0.0, 1.0]
    assert list(samples) == [(["ddd"], [3.0, 3.0, 3.0])]
    assert len(list(drawn)) == 1


def test_surprisal_removed_by_the_reader_is_not_kept() -> None:
    (pieces, nll) = next(one_by_one(VOCABULARY, blocks(("ab",), ("cd",)), "", 1))
    found = []
    for piece in pieces:
        found.append((piece, [*nll]))
        nll.clear()
    assert found == [("ab", [0.0, 1.0]), ("cd", [2.0, 3.0]), ("", [])]
