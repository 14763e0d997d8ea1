"""Token ids in memory and on disk: equal reads, any vocabulary, positions beyond 32 bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.config import TrainConfig
from jaxrnn.data import batching, feeding
from jaxrnn.data.tokens import TokenSource, in_memory, on_disk
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, byte_vocabulary, encode
from jaxrnn.errors import CorpusError
from jaxrnn.parallel.devices import training_mesh

from .conftest import text_of

TEXT = "to be or not to be"
VOCABULARY = build_vocabulary(TEXT)


def write(vocabulary: Vocabulary, ids: np.ndarray) -> TokenSource:
    Path("ids").write_bytes(ids.tobytes())
    return on_disk(vocabulary, Path("ids"), len(ids))


@pytest.fixture(params=[in_memory, write])
def make(request: pytest.FixtureRequest) -> Callable[[Vocabulary, np.ndarray], TokenSource]:
    return request.param


@pytest.fixture(params=["", "xyz", "".join(map(chr, range(500, 800)))])
def tokens(
    request: pytest.FixtureRequest, make: Callable[[Vocabulary, np.ndarray], TokenSource]
) -> TokenSource:
    """The tokens in their own vocabulary and in larger ones."""
    return make(VOCABULARY, encode(VOCABULARY, TEXT)).in_vocabulary(build_vocabulary(TEXT + request.param))


def test_every_read_equals_that_of_an_array(tokens: TokenSource) -> None:
    ids = encode(tokens.vocabulary, TEXT)
    assert len(tokens) == len(ids)
    assert tokens.nbytes == (0 if tokens.file else ids.nbytes)
    assert tokens.read().dtype == ids.dtype
    assert tokens.read(3, 9).tolist() == ids[3:9].tolist()
    assert tokens.take(np.array([[-5, 0], [17, 99]])).tolist() == ids[[[0, 0], [17, 17]]].tolist()
    windows = tokens.windows(np.array([[0, 4], [15, 2]]), 3)
    assert windows.dtype == ids.dtype
    assert windows.tolist() == [[ids[at : at + 3].tolist() for at in row] for row in ((0, 4), (15, 2))]
    part = tokens.part(3, 16).part(3, 9)
    assert text_of(part) == TEXT[6:12]
    assert part.windows(np.array([0]), 2).tolist() == [ids[6:8].tolist()]
    assert part.take(np.array([-1, 99])).tolist() == ids[[6, 11]].tolist()


def test_chunks_cover_all_tokens(tokens: TokenSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxrnn.data.tokens._CHUNK", 5)
    chunks = list(tokens.part(1, 18).chunks())
    assert [len(chunk) for chunk in chunks] == [5, 5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(chunks), tokens.read(1))


def test_a_vocabulary_can_be_extended_repeatedly(tokens: TokenSource) -> None:
    for more in "!", "!?":
        larger = build_vocabulary(more + tokens.vocabulary.characters)
        tokens = tokens.in_vocabulary(larger)
        assert (tokens.vocabulary, text_of(tokens)) == (larger, TEXT)
    with pytest.raises(ValueError, match="the vocabulary lacks a token of the corpus"):
        tokens.in_vocabulary(Vocabulary("abc"))


def test_a_truncated_file_is_reported_in_one_line() -> None:
    tokens = write(VOCABULARY, encode(VOCABULARY, TEXT))
    for length, words in {5: "was cut short", 0: "can't read"}.items():
        Path("ids").write_bytes(b"\0" * length)
        with pytest.raises(CorpusError, match=f"{words}.*: delete its folder and start again"):
            tokens.read()


def test_an_open_file_stays_readable_after_it_is_deleted() -> None:
    tokens = write(VOCABULARY, encode(VOCABULARY, TEXT))
    Path("ids").unlink()
    assert text_of(tokens.part(0, 5)) == "to be"


# More tokens than 32 bits can index: a sparse file, all zeros except at its ends.

FAR = 2**32 + 1000


@pytest.fixture
def far(tmp_path: Path) -> TokenSource:
    path = tmp_path / "ids"
    with path.open("wb") as file:
        file.truncate(FAR)
        for place in range(0, FAR, 2**30):
            file.seek(place)
            file.write(bytes([1 + place // 2**30]))
        file.seek(FAR - 200)
        file.write(bytes(range(50, 250)))
    return on_disk(byte_vocabulary(), path, FAR)


def test_positions_far_beyond_32_bits_are_read(far: TokenSource) -> None:
    assert len(far) == FAR
    starts = np.array([[0, 2**30], [2**32, FAR - 3]])
    assert far.windows(starts, 3).tolist() == [[[1, 0, 0], [2, 0, 0]], [[5, 0, 0], [247, 248, 249]]]
    assert far.take(np.array([-5, 2**31, FAR - 1, FAR + 5])).tolist() == [1, 3, 249, 249]
    assert far.part(2**32, FAR).windows(np.array([0]), 1).tolist() == [[5]]


def test_streams_beyond_32_bits_are_adjacent(far: TokenSource) -> None:
    train = TrainConfig(batch_size=4, seq_len=100, steps=2**31 - 1)
    key = jax.random.key(0)
    chunks = batching.chunks_per_epoch(train, FAR)
    starts, is_fresh = batching.find_starts(train, key, chunks - 2, 4, FAR)
    assert is_fresh.tolist() == [False, False, True, False]
    assert (np.diff(starts, axis=1) == (FAR - 1) // 4).all()
    assert (np.diff(starts, axis=0)[[0, 2]] == 100).all()
    assert starts.min() >= 0
    assert FAR - 201 <= starts.max() + 100 < FAR
    feed = feeding.feeding(train, training_mesh(replace(train, num_devices=1)), key, far, chunks - 2)
    block, _ = feed(chunks - 2)
    assert isinstance(block, batching.Block)
    np.testing.assert_array_equal(block.windows[0], far.windows(starts[0], 101))


def test_windows_beyond_32_bits_start_anywhere() -> None:
    train = TrainConfig(batch_size=256, seq_len=100, stateful=False)
    for end in (2**40, FAR):
        starts, is_fresh = batching.find_starts(train, jax.random.key(0), 5, 40, end)
        assert is_fresh.all()
        assert 0 <= starts.min() < end // 1000
        assert end - end // 1000 < starts.max() < end - 100
        np.testing.assert_allclose(starts.mean(), end / 2, rtol=0.03)
        assert len(np.unique(starts % 2**20)) > 10_000  # all bits are random
    again, _ = batching.find_starts(train, jax.random.key(0), 7, 1, FAR)
    np.testing.assert_array_equal(again[0], starts[2])
