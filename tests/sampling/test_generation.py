"""Text generation."""

import itertools
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, GRUConfig, ModelConfig, RNNConfig
from jaxrnn.data.vocabulary import build_vocabulary, byte_vocabulary, encode
from jaxrnn.errors import VocabularyError
from jaxrnn.layers.resets import find_resets
from jaxrnn.models import stack
from jaxrnn.sampling import generation

CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), GRUConfig(size=6), DenseConfig()))
PARAMS = jax.tree.map(lambda leaf: 2 * leaf, stack.init(jax.random.key(2), CONFIG, 7))
SEED = np.array([3, 1, 4], np.uint8)


def write(seed: np.ndarray = SEED, **options: Any) -> np.ndarray:
    """The samples `[num_samples, length]`."""
    blocks = generation.sample(CONFIG, PARAMS, seed, **{"length": 40, "rng_seed": 5, **options})
    return np.concatenate([block.ids for block in blocks], axis=1)


def teacher_forced_logits(ids: np.ndarray, separator_id: int | None = None) -> np.ndarray:
    tokens = jnp.asarray(ids, jnp.int32)[None]
    carry, resets = stack.initial_carry(CONFIG, PARAMS, 1), find_resets(tokens, separator_id)
    _, logits = stack.apply(CONFIG, PARAMS, carry, tokens, resets=resets)
    return np.asarray(logits[0])


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_a_sample_has_the_requested_length(length: int) -> None:
    assert write(length=length).shape == (1, length)


@pytest.mark.parametrize("seed_length", [1, 2, 3, 1024, 1025, 1026, 2500])
def test_greedy_takes_the_most_likely_character(seed_length: int) -> None:
    seed = np.random.default_rng(0).integers(0, 7, seed_length)
    sample = write(seed, temperature=0)[0]
    text = np.concatenate([seed, sample])
    likeliest = teacher_forced_logits(text).argmax(-1)
    np.testing.assert_array_equal(sample, likeliest[len(seed) - 1 : -1])


@pytest.mark.parametrize("separator_id", [None, 2])
def test_a_separator_resets_the_state_when_read_or_sampled(separator_id: int | None) -> None:
    after = [write(np.array(seed), separator_id=separator_id) for seed in ([3, 1, 2], [6, 6, 6, 0, 2], [2])]
    is_same = [bool((sample == after[0]).all()) for sample in after[1:]]
    assert is_same == [separator_id is not None] * 2
    if separator_id is None:
        return

    seed = np.array([3, 1, 4, 1, 5])
    drawn = write(seed, length=200, separator_id=2)[0]
    assert (drawn == 2).sum() > 3
    text = np.concatenate([seed, drawn])
    blocks = list(generation.sample(CONFIG, PARAMS, seed, length=200, rng_seed=5, separator_id=2))
    np.testing.assert_array_equal(np.concatenate([block.ids[0] for block in blocks]), drawn)
    logits = jax.nn.log_softmax(teacher_forced_logits(text, 2))
    expected = -np.take_along_axis(np.asarray(logits)[4:-1], drawn[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(np.concatenate([block.nll[0] for block in blocks]), expected, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 1},
        {"top_p": 1e-6},
        {"min_p": 1},
        *({"temperature": t} for t in (1e-300, 1e-40)),
        {"top_p": 1e-300},
    ],
)
def test_the_narrowest_options_are_greedy(options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(write(**options), write(temperature=0))


def test_the_sample_depends_on_the_rng_seed() -> None:
    np.testing.assert_array_equal(write(), write())
    assert (write(rng_seed=6) != write()).any()


def write_beside_others(size: int, layers: int) -> None:
    recurrent = [RNNConfig(size=size)] * layers
    config = ModelConfig(layers=(EmbeddingConfig(size=size), *recurrent, DenseConfig()))
    # Weights so large that the states are chaotic: a rounding error changes the text after 50 characters.
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: stack.init(key, config, 65), jax.random.key(0))
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 3 * leaf.shape[0] ** -0.5, leaf.shape).astype(np.float32), shapes
    )

    def texts(num_samples: int) -> np.ndarray:
        blocks = generation.sample(config, params, SEED, length=64, num_samples=num_samples)
        return np.concatenate([block.ids for block in blocks], axis=1)

    most = texts(12)  # 3 tiles of the widest model
    assert len(np.unique(most, axis=0)) == 12
    for num_samples in (1, 5, 9):
        np.testing.assert_array_equal(texts(num_samples), most[:num_samples])


def test_a_sample_does_not_depend_on_other_samples(users_environment: dict[str, str]) -> None:
    code = "from tests.sampling.test_generation import write_beside_others as write\n"
    code += "for sizes in ((64, 1), (192, 2), (600, 1)): write(*sizes)"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=root, env=users_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_longer_sample_starts_with_the_shorter_one() -> None:
    np.testing.assert_array_equal(write(length=70)[0], write(length=200)[0, :70])


def first_draws(**options: Any) -> np.ndarray:
    """2000 draws of the character after the prompt."""
    return write(length=1, num_samples=2000, **options)[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_characters_are_drawn_with_their_probabilities(temperature: float) -> None:
    expected = np.asarray(jax.nn.softmax(teacher_forced_logits(SEED)[-1] / temperature))
    counts = np.bincount(first_draws(temperature=temperature), minlength=7)
    # chi-square with 6 degrees of freedom exceeds 30 with probability 1/20,000
    assert ((counts - 2000 * expected) ** 2 / (2000 * expected)).sum() < 30


@pytest.mark.parametrize("temperature", [1e6, 1e38, 1e300])
def test_at_an_enormous_temperature_characters_are_equally_likely(temperature: float) -> None:
    counts = np.bincount(first_draws(temperature=temperature), minlength=7)
    assert ((counts - 2000 / 7) ** 2 / (2000 / 7)).sum() < 30


@pytest.mark.parametrize("top_k", [2, 4])
def test_top_k_draws_only_the_k_most_likely(top_k: int) -> None:
    likeliest = np.argsort(-teacher_forced_logits(SEED)[-1])[:top_k]
    assert set(first_draws(top_k=top_k, temperature=3.0)) == set(likeliest.tolist())


def test_top_p_draws_only_the_smallest_set_that_reaches_p() -> None:
    probabilities = np.asarray(jax.nn.softmax(teacher_forced_logits(SEED)[-1]))
    order = np.argsort(-probabilities)
    top_p = float(probabilities[order[:3]].sum()) - 1e-3  # needs the third character
    assert set(first_draws(top_p=top_p)) == set(order[:3].tolist())


def test_other_lengths_seeds_and_options_do_not_recompile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    others = {"temperature": 0.3, "top_k": 3, "top_p": 0.5, "min_p": 0.1, "rng_seed": 9}
    with jax.log_compiles():
        jax.clear_caches()
        # Separate programs sort the tokens, and track those that occurred.
        for options in ({}, {"top_k": 2}, {"repetition_penalty": 1.2}):
            write(**options)
        assert "Compiling" in caplog.text
        caplog.clear()
        write(np.array([2], np.uint8), length=100, num_samples=9, **others)
        write(np.arange(2000) % 7, length=1, num_samples=2, temperature=0, repetition_penalty=2)
        assert "Compiling" not in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"length": -1},
        {"top_k": -1},
        {"num_samples": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": float("nan")},
        {"repetition_penalty": 0.9},
        {"repetition_penalty": float("inf")},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        write(**options)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        write(np.array([], np.uint8))


def test_an_endless_sample_starts_as_a_long_one() -> None:
    blocks = generation.sample(CONFIG, PARAMS, SEED, length=None, rng_seed=5)
    endless = np.concatenate([block.ids for block in islice(blocks, 5)], axis=1)
    np.testing.assert_array_equal(endless, write(length=endless.size))


def test_a_sample_may_be_longer_than_int32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "count", lambda _, block: itertools.count(2**31 - 2 * block, block))
    blocks = generation.sample(CONFIG, PARAMS, SEED, length=None)
    assert [block.ids.shape[1] for block in islice(blocks, 4)] == [128] * 4


@pytest.mark.parametrize("prompt", ["a\r\nb\r\n", "a\rb\r", "a\nb\n"])
def test_line_ends_of_a_prompt_are_normalized(prompt: str) -> None:
    vocabulary = build_vocabulary("a\nb")
    np.testing.assert_array_equal(generation.prompt_ids(vocabulary, prompt), encode(vocabulary, "a\nb\n"))
    for other in (build_vocabulary("a\r\nb"), byte_vocabulary()):
        np.testing.assert_array_equal(generation.prompt_ids(other, prompt), encode(other, prompt))


def test_a_newline_prompt_falls_back_to_a_space_or_the_first_character() -> None:
    assert generation.prompt_ids(build_vocabulary("a b"), "\n").tolist() == [0]
    assert generation.prompt_ids(build_vocabulary("xyz"), "\n").tolist() == [0]
    assert generation.prompt_ids(build_vocabulary("!a\n"), "\n").tolist() == [0]
    with pytest.raises(VocabularyError):
        generation.prompt_ids(build_vocabulary("a b"), "c")


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5, "top_k": 3}, {"num_samples": 5}])
def test_surprisal_is_that_of_the_model_without_sampling_options(options: dict[str, Any]) -> None:
    blocks = list(generation.sample(CONFIG, PARAMS, SEED, length=150, rng_seed=5, **options))
    ids, nats = (np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True))
    np.testing.assert_array_equal(ids, write(length=150, **options))
    for sample, surprisal in zip(ids, nats, strict=True):
        text = np.concatenate([SEED, sample])
        expected = -jax.nn.log_softmax(teacher_forced_logits(text))[np.arange(len(text) - 1), text[1:]]
        np.testing.assert_allclose(surprisal, expected[len(SEED) - 1 :], atol=1e-5)


def test_shorter_blocks_for_a_large_vocabulary_do_not_change_the_sample(monkeypatch) -> None:
    whole = write(length=20)
    monkeypatch.setattr(stack, "MOST_LOGITS", 7 * 6)
    blocks = list(generation.sample(CONFIG, PARAMS, SEED, length=20, rng_seed=5))
    assert [block.ids.shape[1] for block in blocks] == [6, 6, 6, 2]
    np.testing.assert_array_equal(np.concatenate([block.ids for block in blocks], axis=1), whole)
