"""Character tables in every supported form, and reordering of their weights."""

from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import read_characters, sort_characters
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams

IDS = {"a": 1, "\u00e9": 2, "b": 0}
CHARACTERS = {"2": "\u00e9", "0": "b", "1": "a"}


@pytest.mark.parametrize(
    "table",
    ["ba\u00e9", [*"ba\u00e9"], IDS, CHARACTERS, {"stoi": IDS, "itos": CHARACTERS}, [[*"ba\u00e9"], "ba\u00e9"]],
    ids=str,
)  # fmt: skip
def test_every_form_gives_the_characters_in_the_order_of_their_ids(table: object) -> None:
    assert read_characters(table) == ["b", "a", "\u00e9"]


NO_TABLE = "must be a string, a list"
BAD: list[tuple[object, str]] = [
    *((table, NO_TABLE) for table in (None, 5, [], {}, ["a", 5], [["a"], 5], {"a": 0, "b": True}, {"a": 0.5})),
    *((table, NO_TABLE) for table in ([["a"]] * 4, [[[["a"]]]])),
    ("", "has 0 characters"),
    (["a", "<pad>"], "'<pad>' is not one character; put one there that no text has"),
    (["a", ""], "'' is not one character"),
    (["a", "\ud800"], "is not one character"),
    ("aba", "has 'a' .U.0061. twice"),
    ({"a": 1, "b": 2}, "ids must count from 0, each once, but 1 is where 0 must be"),
    ({"a": -1, "b": 0}, "but -1 is where 0 must be"),
    ({"0": "a", "00": "b"}, "but 0 is where 1 must be"),
    ({"a": 10**100, "b": 0}, "is where 1 must be"),
    ([["a"], ["b"]], "contradict each other"),
    ("".join(map(chr, range(0x10000, 0x20001))), "has 65,537 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "why"), BAD, ids=lambda value: ascii(value)[:30])
def test_an_invalid_table_is_refused(table: object, why: str) -> None:
    with pytest.raises(InterchangeError, match=why):
        read_characters(table)


def test_weights_are_reordered_with_their_characters() -> None:
    table: Any = np.arange(6.0).reshape(3, 2)
    w: Any = np.arange(12.0).reshape(4, 3)
    b: Any = np.arange(3.0)
    params = EmbeddingParams(table), (), DenseParams(w, b)
    vocabulary, (embedding, between, head) = sort_characters(list("cab"), params)
    assert (vocabulary.characters, between) == ("abc", ())
    order = [1, 2, 0]
    assert np.array_equal(embedding.table, table[order])
    assert np.array_equal(head.w, w[:, order])
    assert np.array_equal(head.b, b[order])
