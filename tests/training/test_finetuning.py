"""Mapping of vocabulary and parameters by character to a corpus with other characters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config
from jaxrnn.data.vocabulary import Vocabulary, byte_vocabulary, encode
from jaxrnn.models import stack
from jaxrnn.training.finetuning import adapt_params

OLD = Vocabulary("bdh")
NEW = Vocabulary("abcdghx")  # new characters before, between and after the old ones


@pytest.fixture(scope="module")
def params(config: Config):
    drawn = stack.init(jax.random.key(0), config.model, OLD.size)
    return jax.tree.map(lambda leaf: leaf + 0.1, drawn)  # so that no bias is zero


def logits(config: Config, params, vocabulary: Vocabulary, text: str) -> np.ndarray:
    tokens = jnp.asarray(encode(vocabulary, text).astype(np.int32))[None]
    carry = stack.initial_carry(config.model, params, 1)
    return np.asarray(stack.apply(config.model, params, carry, tokens)[1][0])


def test_weights_of_known_characters_are_bitwise_identical(config: Config, params) -> None:
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


def test_logits_of_known_characters_are_unchanged(config: Config, params) -> None:
    adapted = adapt_params(params, OLD, NEW, jax.random.key(1))
    known = [NEW.characters.index(character) for character in OLD.characters]
    after = logits(config, adapted, NEW, "hdbbdh")[:, known]
    np.testing.assert_allclose(after, logits(config, params, OLD, "hdbbdh"), rtol=1e-5)


def test_new_characters_have_distinct_rows_and_low_probability(params) -> None:
    adapted = adapt_params(params, OLD, NEW, jax.random.key(1))
    rows = [NEW.characters.index(character) for character in "acgx"]
    assert len({tuple(row) for row in np.asarray(adapted[0].table)[rows].tolist()}) == 4
    np.testing.assert_array_equal(adapted[-1].b[jnp.array(rows)], params[-1].b.min())


def test_an_equal_vocabulary_is_accepted_and_a_smaller_one_refused(params) -> None:
    assert adapt_params(params, OLD, OLD, jax.random.key(1)) is params
    with pytest.raises(ValueError, match="lacks a character"):
        adapt_params(params, OLD, Vocabulary("abd"), jax.random.key(1))


def test_a_byte_model_is_not_mapped_to_characters(params) -> None:
    bytes_, characters = byte_vocabulary(), Vocabulary(byte_vocabulary().characters)
    with pytest.raises(ValueError, match="the weights are for characters, but the new vocabulary has bytes"):
        adapt_params(params, characters, bytes_, jax.random.key(0))
