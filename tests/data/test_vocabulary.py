import random
from collections import Counter

import numpy as np
import pytest

from jaxrnn.data import vocabulary as module
from jaxrnn.data.texts import readable
from jaxrnn.data.vocabulary import (
    TOKENIZERS,
    Text,
    Vocabulary,
    build_vocabulary,
    by_frequency,
    byte_vocabulary,
    count_unknown,
    decode,
    describe_character,
    display,
    drop_unknown,
    encode,
    in_tokens,
    merge,
    names_of_tokens,
    spell,
    translation,
    unknown_characters,
    vocabulary_from_json,
    vocabulary_to_json,
    with_separator,
)
from jaxrnn.errors import ConfigError, VocabularyError

MIXED = "To be,\r\n\tor nöt — 日本語 😀 \u0301\U0010ffff"


def test_a_vocabulary_has_the_characters_sorted_by_code_point():
    shuffled = list(MIXED)
    random.Random(0).shuffle(shuffled)
    for text in (MIXED, "".join(shuffled)):
        assert build_vocabulary(text).characters == "".join(sorted(set(MIXED)))
    assert build_vocabulary("hello").size == 4


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])  # texts shorter and longer than a chunk
def test_an_id_is_the_index_of_its_character_and_decoding_inverts_encoding(chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    vocabulary = build_vocabulary(MIXED)
    assert encode(vocabulary, MIXED).tolist() == [vocabulary.characters.index(c) for c in MIXED]
    assert decode(vocabulary, encode(vocabulary, MIXED)) == MIXED
    with pytest.raises(VocabularyError, match=r"'é' \(U\+00E9\), at position 2 .*, and 2 more are missing$"):
        encode(Vocabulary("abc"), "abébxx")


def test_every_unknown_character_is_listed_with_its_position():
    assert unknown_characters(Vocabulary("abc"), "axb😀cx") == [(1, "x"), (3, "😀"), (5, "x")]


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65_536, np.uint16)]
)
def test_ids_have_1_byte_up_to_256_characters_and_2_above(size, dtype):
    text = "".join(map(chr, range(0x10000, 0x10000 + size)))
    ids = encode(build_vocabulary(text), text)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size))


def test_more_characters_than_fit_2_bytes_are_refused():
    with pytest.raises(VocabularyError, match="65,537 different characters"):
        build_vocabulary("".join(map(chr, range(0x10000, 0x20001))))


def test_an_empty_text_has_no_vocabulary_and_no_ids():
    with pytest.raises(VocabularyError, match="empty text"):
        build_vocabulary("")
    ids = encode(Vocabulary("ab"), "")
    assert ids.shape == (0,)
    assert decode(Vocabulary("ab"), ids) == decode(Vocabulary("ab"), []) == ""


@pytest.mark.parametrize(("text", "ending"), [("abx", r"from 0\)$"), ("xax", "and 1 more is missing$")])
def test_the_message_of_missing_characters_is_short(text, ending):
    with pytest.raises(VocabularyError, match=ending):
        encode(Vocabulary("ab"), text)


def test_undecodable_bytes_of_a_command_line_are_named():
    with pytest.raises(VocabularyError, match=r"'\\udcff' \(U\+DCFF\)"):
        encode(Vocabulary("ab"), b"a\xff".decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("ids", [[2], [0, -1], np.array([200], np.uint8)])
def test_an_id_outside_the_vocabulary_is_refused(ids):
    with pytest.raises(VocabularyError, match=f"^{ids[-1]} is not an id: there are 2 characters"):
        decode(Vocabulary("ab"), ids)


@pytest.mark.parametrize("ids", [[[0, 1]], 0, [0.0, 1.0], [True]])
def test_only_1d_integers_can_be_decoded(ids):
    with pytest.raises(ValueError, match="ids must be"):
        decode(Vocabulary("ab"), ids)


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("a", "'a' (U+0061)"),
        ("é", "'é' (U+00E9)"),
        ("\n", r"'\n' (U+000A)"),
        ("'", '"\'" (U+0027)'),
        ("\u200b", r"'\u200b' (U+200B)"),
        ("😀", "'😀' (U+1F600)"),
    ],
)
def test_invisible_characters_are_described(character, shown):
    assert describe_character(character) == shown


def test_a_vocabulary_survives_a_round_trip_through_ascii_json():
    vocabulary = build_vocabulary(MIXED)
    text = vocabulary_to_json(vocabulary)
    assert text.isascii()
    assert text.count("\n") == 1
    assert vocabulary_from_json(text, "v.json") == vocabulary


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"characters": "ab", "tokens": "characters"',
        pytest.param("[" * 100_000, id="nested too deeply"),
        pytest.param("[" + "1" * 10_000 + "]", id="a huge number"),
        "[]",
        "{}",
        '{"characters": "ab"}',
        '{"tokens": "characters"}',
        *(
            f'{{"characters": {characters}, "tokens": "characters"}}'
            for characters in ('["a"]', '""', '"ba"', '"aab"', "5", "null")
        ),
        *(
            f'{{"characters": "ab", "tokens": {tokens}}}'
            for tokens in ('"bytes"', '"words"', '["bytes"]', "null")
        ),
        pytest.param(
            vocabulary_to_json(Vocabulary("".join(map(chr, range(0x10000, 0x20001))))),
            id="too many characters",
        ),
    ],
)
def test_an_invalid_vocabulary_is_refused_by_its_file_name(text):
    with pytest.raises(
        VocabularyError, match=r"^v\.json is not a vocabulary.*: restore it from a copy of the run$"
    ):
        vocabulary_from_json(text, "v.json")


# Unknown characters.

LONG = "to be, or not to be: é" * 3 + "\U0001f600"


@pytest.mark.parametrize("known", ["be", "xyz", "".join(sorted(set(LONG)))])
def test_unknown_characters_are_counted_by_frequency(known: str) -> None:
    counts = count_unknown(Vocabulary(known), LONG)
    expected = Counter(character for character in LONG if character not in known)
    assert counts == expected
    assert list(counts) == sorted(expected, key=lambda character: (-expected[character], character))


def test_dropping_keeps_the_order_of_known_characters() -> None:
    assert drop_unknown(Vocabulary("abc"), "cxbxa") == "cba"
    assert drop_unknown(Vocabulary("abc"), "xyz") == ""


def test_merging_gives_the_sorted_union() -> None:
    assert merge(Vocabulary("bd"), Vocabulary("abc")) == Vocabulary("abcd")
    assert merge(Vocabulary("bd"), Vocabulary("bd")) == Vocabulary("bd")


def test_merging_refuses_more_characters_than_fit_2_bytes() -> None:
    full = Vocabulary("".join(map(chr, range(0x10000, 0x20000))))
    assert merge(full, Vocabulary(full.characters[5])) == full
    with pytest.raises(VocabularyError, match="together have 65,537 different characters"):
        merge(full, Vocabulary("a"))


# Bytes.

BYTES = byte_vocabulary()


def test_bytes_are_their_own_ids_and_survive_a_round_trip_through_text() -> None:
    rng = random.Random(0)
    alphabet = [
        *range(256),
        *"né日😀".encode() * 30,
    ]  # noise, with more UTF-8 sequences than chance
    for data in [bytes(range(256)), *(bytes(rng.choices(alphabet, k=rng.randrange(40))) for _ in range(500))]:
        ids = encode(BYTES, data)
        assert ids.dtype == np.uint8
        assert ids.tolist() == list(data)
        assert encode(BYTES, decode(BYTES, ids)).tolist() == list(data)
        assert spell(BYTES, ids) == in_tokens(BYTES, decode(BYTES, ids)) == data


def test_a_text_is_encoded_as_its_utf_8_bytes() -> None:
    assert encode(BYTES, MIXED).tolist() == list(MIXED.encode())
    assert decode(BYTES, np.array(list(MIXED.encode()), np.int32)) == MIXED
    assert in_tokens(build_vocabulary(MIXED), MIXED) == MIXED
    assert spell(build_vocabulary("ab"), np.array([1, 0])) == "ba"


def test_a_byte_vocabulary_covers_all_bytes() -> None:
    assert build_vocabulary(b"\0\xff") == BYTES
    assert (BYTES.size, merge(BYTES, BYTES)) == (256, BYTES)
    for text in (b"\0\xff\xd0", MIXED, "a\udc80\udcff"):
        assert unknown_characters(BYTES, text) == []
        assert count_unknown(BYTES, text) == {}
        assert drop_unknown(BYTES, text) == text


def test_a_surrogate_without_a_byte_is_unknown() -> None:
    text = "a\ud800\udc80\udc7f\udd00"
    assert unknown_characters(BYTES, text) == [(1, "\ud800"), (3, "\udc7f"), (4, "\udd00")]
    assert drop_unknown(BYTES, text) == "a\udc80"
    with pytest.raises(VocabularyError, match=r"U\+D800.*position 1 .*2 more are missing"):
        encode(BYTES, text)


def test_byte_and_character_vocabularies_do_not_mix() -> None:
    characters = Vocabulary(BYTES.characters)
    assert characters != BYTES
    for function in (encode, unknown_characters, count_unknown, drop_unknown):
        with pytest.raises(TypeError, match="not bytes"):
            function(characters, b"ab")
    with pytest.raises(VocabularyError, match=r"characters and one of bytes"):
        merge(characters, BYTES)


def test_a_byte_vocabulary_survives_a_round_trip_through_json() -> None:
    assert vocabulary_from_json(vocabulary_to_json(BYTES), "v") == BYTES


# The interface of every tokenizer.


@pytest.mark.parametrize(("name", "text"), [("characters", MIXED), ("bytes", MIXED.encode() + b"\xff")])
def test_a_tokenizer_builds_a_vocabulary_from_pieces_and_counts_its_tokens(name: str, text: Text) -> None:
    tokenizer = TOKENIZERS[name]
    vocabulary, counts = tokenizer.build([text[:3], text[:0], text[3:], text])
    assert (vocabulary, vocabulary.tokens) == (build_vocabulary(text), name)
    ids = encode(vocabulary, text)
    assert counts.tolist() == (2 * np.bincount(ids, minlength=vocabulary.size)).tolist()
    assert spell(vocabulary, ids) == text
    assert tokenizer.unit + "s" == name == vocabulary.unit + "s"
    assert [names_of_tokens(vocabulary)[i] for i in ids] == list(text)
    assert display(vocabulary, ids) == (MIXED if name == "characters" else readable(text))


def test_ids_are_mapped_from_one_vocabulary_to_another() -> None:
    assert translation(Vocabulary("abd"), Vocabulary("bcd")).tolist() == [-1, 0, 2]


def test_counts_are_ordered_by_frequency_then_by_character() -> None:
    assert list(by_frequency({"b": 1, "c": 2, "a": 1})) == ["c", "a", "b"]


def test_a_separator_is_in_the_vocabulary_and_not_in_its_json() -> None:
    names = with_separator(Vocabulary("\nabc"), "b")
    assert (names.separator, names.separator_id, Vocabulary("abc").separator_id) == ("b", 2, None)
    assert vocabulary_from_json(vocabulary_to_json(names), "v.json") == Vocabulary("\nabc")
    assert with_separator(names, "") == Vocabulary("\nabc")
    assert with_separator(byte_vocabulary(), "\n").separator_id == 10
    for separator in ("d", "\x1e"):
        with pytest.raises(ConfigError, match=r"^corpus\.separator = .*: the vocabulary lacks it") as error:
            with_separator(names, separator)
        assert str(error.value).isprintable()
