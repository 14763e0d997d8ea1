"""Tables of characters in any form, and weights that move with them."""

from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import read_characters, sort_characters
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams


@pytest.mark.parametrize(
    "table",
    [
        "ba\u00e9",
        ["b", "a", "\u00e9"],
        {"a": 1, "\u00e9": 2, "b": 0},
        {"2": "\u00e9", "0": "b", "1": "a"},
        {"stoi": {"a": 1, "\u00e9": 2, "b": 0}, "itos": {"2": "\u00e9", "0": "b", "1": "a"}},
        [["b", "a", "\u00e9"], "ba\u00e9"],
    ],
    ids=str,
)
def test_every_form_gives_the_characters_in_the_order_of_their_ids(table: object) -> None:
    assert read_characters(table) == ["b", "a", "\u00e9"]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (None, "must be a string, a list"),
        (5, "must be a string, a list"),
        ([], "must be a string, a list"),
        ({}, "must be a string, a list"),
        ("", "has 0 characters"),
        (["a", 5], "must be a string, a list"),
        ([["a"], 5], "must be a string, a list"),
        ({"a": 0, "b": True}, "must be a string, a list"),
        ({"a": 0.5}, "must be a string, a list"),
        (["a", "<pad>"], "'<pad>' is not one character; put one there that no text has"),
        (["a", ""], "'' is not one character"),
        (["a", "\ud800"], "is not one character"),
        ("aba", "has 'a' .U.0061. twice"),
        ({"a": 1, "b": 2}, "no character has the id 0"),
        ({"a": -1, "b": 0}, "is given twice, or below 0"),
        ({"a": 10**100, "b": 0}, "no character has the id 1"),
        ({"0": "a", "00": "b"}, "the id 0 is given twice"),
        (["a", "b"] * 2, "twice"),
        ([["a"], ["b"]], "contradict each other"),
        ([["a"]] * 4, "must be a string, a list"),
        ([[[["a"]]]], "must be a string, a list"),
        ("".join(map(chr, range(0x10000, 0x20001))), "has 65,537 characters"),
    ],
    ids=lambda value: str(value)[:30] if not isinstance(value, str) or len(value) < 99 else "many",
)
def test_what_is_no_table_is_refused(table: object, why: str) -> None:
    with pytest.raises(InterchangeError, match=why):
        read_characters(table)


def test_each_characters_weights_go_with_it() -> None:
    table: Any = np.arange(6.0).reshape(3, 2)
    w: Any = np.arange(12.0).reshape(4, 3)
    b: Any = np.arange(3.0)
    head = DenseParams(w, b)
    vocabulary, (embedding, between, moved) = sort_characters(list("cab"), (EmbeddingParams(table), (), head))
    assert vocabulary.characters == "abc"
    assert between == ()
    for new, old in ((0, 1), (1, 2), (2, 0)):
        assert np.array_equal(embedding.table[new], table[old])
        assert np.array_equal(moved.w[:, new], head.w[:, old])
        assert moved.b[new] == head.b[old]
