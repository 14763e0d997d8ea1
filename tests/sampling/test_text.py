"""`jaxrnn.generate` and `jaxrnn.stream`: the text of `jaxrnn sample`, complete or in pieces."""

import random
from itertools import islice

import jax
import numpy as np
import pytest

from jaxrnn.config import ModelConfig
from jaxrnn.data.vocabulary import byte_vocabulary, decode, encode
from jaxrnn.errors import VocabularyError
from jaxrnn.models import LanguageModel, stack
from jaxrnn.sampling import generate, sample, stream, until


def test_the_text_equals_that_of_sample_without_the_prompt(language_model: LanguageModel) -> None:
    text = generate(language_model, "to be", length=150, top_k=3, rng_seed=2)
    prompt = encode(language_model.vocabulary, "to be")
    config, params = language_model.config, language_model.params
    blocks = sample(config, params, prompt, length=150, temperature=0.8, top_k=3, rng_seed=2)
    assert text == decode(language_model.vocabulary, np.concatenate([block.ids[0] for block in blocks]))


def test_pieces_are_yielded_as_they_are_sampled(language_model: LanguageModel) -> None:
    pieces = list(stream(language_model, "to be", length=150, rng_seed=2))
    assert [len(piece) for piece in pieces] == [128, 22]
    assert "".join(pieces) == generate(language_model, "to be", length=150, rng_seed=2)


def test_the_text_ends_before_the_stop_text(language_model: LanguageModel) -> None:
    text = generate(language_model, "to be", length=150, rng_seed=2)
    stop = text[126:130]  # across two blocks
    assert generate(language_model, "to be", length=150, rng_seed=2, stop=stop) == text.partition(stop)[0]


def test_bytes_become_text_with_lone_surrogates() -> None:
    params = stack.init(jax.random.key(0), ModelConfig(), 256)
    model = LanguageModel(ModelConfig(), params, byte_vocabulary())
    text = generate(model, "né", length=150)
    blocks = sample(model.config, params, encode(model.vocabulary, "né"), length=150, temperature=0.8)
    drawn = b"".join(block.ids[0].astype(np.uint8).tobytes() for block in blocks)
    assert text.encode("utf-8", "surrogateescape") == drawn
    assert "".join(stream(model, "né", length=150)) == text


def test_an_unknown_character_is_refused_before_sampling(language_model: LanguageModel) -> None:
    with pytest.raises(VocabularyError, match="'€'"):
        stream(language_model, "€")
    with pytest.raises(ValueError, match="temperature"):
        stream(language_model, temperature=-1.0)


def test_an_impossible_stop_text_is_refused(language_model: LanguageModel) -> None:
    with pytest.raises(VocabularyError, match="'Z'"):
        stream(language_model, stop="Z")


def test_every_sampling_option_is_used(language_model: LanguageModel) -> None:
    plain = generate(language_model, "to be", length=150)
    for rule in ({"top_k": 2}, {"top_p": 0.3}, {"min_p": 0.9}, {"repetition_penalty": 1000.0}):
        assert generate(language_model, "to be", length=150, **rule) != plain, rule


def test_a_stream_without_a_length_does_not_end(language_model: LanguageModel) -> None:
    endless = stream(language_model, "to be", length=None, rng_seed=2)
    assert "".join(islice(endless, 5)) == generate(language_model, "to be", length=5 * 128, rng_seed=2)


def test_until_equals_partition_for_any_split() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        text = "".join(rng.choices("ab", k=rng.randrange(12)))
        stop = "".join(rng.choices("ab", k=rng.randrange(5)))
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(4)))
        blocks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        expected = text.partition(stop)[0] if stop else text
        assert "".join(until(blocks, stop)) == expected, (blocks, stop)


def test_until_holds_back_only_a_possible_stop_text() -> None:
    assert list(until(["xyza", "bq"], "abc")) == ["xyz", "abq", ""]
    assert next(until(["xyz", "never asked for"], "z")) == "xy"
