"""A model's vocabulary and parameters, taken to a text with other characters: always by character."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config
from jaxrnn.data.coverage import Coverage, cover, describe_coverage
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, byte_vocabulary, encode
from jaxrnn.errors import VocabularyError
from jaxrnn.models import stack
from jaxrnn.training.finetuning import adapt_params

OLD = Vocabulary("bdh")
NEW = Vocabulary("abcdghx")  # new ones before, between and after the old ones


@pytest.fixture(scope="module")
def params(config: Config):
    drawn = stack.init(jax.random.key(0), config.model, OLD.size)
    return jax.tree.map(lambda leaf: leaf + 0.1, drawn)  # no bias is zero


def logits(config: Config, params, vocabulary: Vocabulary, text: str) -> np.ndarray:
    tokens = jnp.asarray(encode(vocabulary, text).astype(np.int32))[None]
    carry = stack.initial_carry(config.model, params, 1)
    return np.asarray(stack.apply(config.model, params, carry, tokens)[1][0])


def test_known_characters_keep_their_weights_bit_for_bit(config: Config, params) -> None:
    adapted = adapt_params(params, OLD, NEW, jax.random.key(1))
    for old_id, character in enumerate(OLD.characters):
        new_id = NEW.characters.index(character)
        np.testing.assert_array_equal(adapted[0].table[new_id], params[0].table[old_id])
        np.testing.assert_array_equal(adapted[-1].w[:, new_id], params[-1].w[:, old_id])
        np.testing.assert_array_equal(adapted[-1].b[new_id], params[-1].b[old_id])
    jax.tree.map(np.testing.assert_array_equal, adapted[1:-1], params[1:-1])
    expected = jax.eval_shape(lambda: stack.init(jax.random.key(0), config.model, NEW.size))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), adapted) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), expected
    )


def test_on_old_text_the_model_says_what_it_said_before(config: Config, params) -> None:
    adapted = adapt_params(params, OLD, NEW, jax.random.key(1))
    known = [NEW.characters.index(character) for character in OLD.characters]
    after = logits(config, adapted, NEW, "hdbbdh")[:, known]
    np.testing.assert_allclose(after, logits(config, params, OLD, "hdbbdh"), rtol=1e-5)


def test_new_characters_start_out_unlike_each_other_and_unlikely(params) -> None:
    adapted = adapt_params(params, OLD, NEW, jax.random.key(1))
    rows = [NEW.characters.index(character) for character in "acgx"]
    assert len({tuple(row) for row in np.asarray(adapted[0].table)[rows].tolist()}) == 4
    np.testing.assert_array_equal(adapted[-1].b[jnp.array(rows)], params[-1].b.min())


def test_the_same_vocabulary_changes_nothing_and_a_smaller_one_is_refused(params) -> None:
    assert adapt_params(params, OLD, OLD, jax.random.key(1)) is params
    with pytest.raises(ValueError, match="lacks a character"):
        adapt_params(params, OLD, Vocabulary("abd"), jax.random.key(1))


TEXT = "had been a bad idea, had it not"


def test_extending_learns_the_whole_text_and_forgets_no_character() -> None:
    vocabulary, text, coverage = cover(Vocabulary("abdhz"), TEXT, "extend", "text.txt")
    assert text == TEXT
    assert set(vocabulary.characters) == set(TEXT) | {"z"}
    assert list(vocabulary.characters) == sorted(vocabulary.characters)
    assert coverage == Coverage(len(TEXT), {c: TEXT.count(c) for c in coverage.new})
    assert set(coverage.new) == set(TEXT) - set("abdhz")


def test_dropping_learns_what_the_model_knows() -> None:
    vocabulary, text, coverage = cover(Vocabulary("abdhz"), TEXT, "drop", "text.txt")
    assert vocabulary == Vocabulary("abdhz")
    assert text == "".join(c for c in TEXT if c in "abdhz")
    assert coverage.occurrences == len(TEXT) - len(text)
    with pytest.raises(VocabularyError, match="knows none"):
        cover(Vocabulary("z"), TEXT, "drop", "text.txt")


def test_an_error_names_the_first_unknown_character_and_the_ways_on() -> None:
    with pytest.raises(VocabularyError) as error:
        cover(Vocabulary("abdhz"), TEXT, "error", "text.txt")
    others = len(set(TEXT) - set("abdhz")) - 1
    for words in ("text.txt", "' ' (U+0020)", "position 3 ", f"nor {others} others", "--on-unknown extend"):
        assert words in str(error.value)
    with pytest.raises(VocabularyError, match="from 0\\);"):
        cover(Vocabulary("ab"), "abxx", "error", "text.txt")


@pytest.mark.parametrize("on_unknown", ["extend", "drop", "error"])
def test_a_text_of_known_characters_is_taken_as_it_is(on_unknown) -> None:
    vocabulary = build_vocabulary(TEXT)
    assert cover(vocabulary, TEXT, on_unknown, "text.txt") == (vocabulary, TEXT, Coverage(len(TEXT), {}))


def test_a_report_says_how_many_and_how_often() -> None:
    told = describe_coverage(Coverage(1000, {"é": 12, "\n": 1}), "extend")
    assert told.startswith(
        "2 characters are new to the model, 13 of the text's 1,000 (1.30%): 'é' (U+00E9) 12 times, "
    )
    assert "'\\n' (U+000A) once" in told
    many = describe_coverage(Coverage(1000, {chr(c): 1 for c in range(97, 117)}), "drop")
    assert "and 12 more" in many
    assert "left out" in many
    rare = describe_coverage(Coverage(1_000_000, {"é": 1}), "extend")
    assert rare.startswith("1 character is new")
    assert "under 0.01%" in rare
    assert "every character" in describe_coverage(Coverage(5, {}), "extend")


def test_characters_and_bytes_are_not_reconciled(params) -> None:
    bytes_, characters = byte_vocabulary(), Vocabulary(byte_vocabulary().characters)
    assert cover(bytes_, b"\xff\0", "error", "f") == (bytes_, b"\xff\0", Coverage(2, {}))
    with pytest.raises(VocabularyError, match="f: the model knows bytes, and the text is one of characters"):
        cover(bytes_, "ab", "extend", "f")
    with pytest.raises(VocabularyError, match="f: the model knows characters, and the text is one of bytes"):
        cover(characters, b"ab", "extend", "f")
    with pytest.raises(ValueError, match="weights of characters are no weights of bytes"):
        adapt_params(params, characters, bytes_, jax.random.key(0))
