import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.config import Config, CorpusConfig, TrainConfig
from jaxrnn.data.builtin import BUILT_IN, data_folder
from jaxrnn.data.corpus import Corpus, check_lengths, find_corpus, load_corpus, split_corpus, split_lengths
from jaxrnn.errors import CorpusError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def corpus(length, name="t.txt"):
    return Corpus(name, data_folder() / name, "x" * length, "")


def config(**sizes):
    fraction = sizes.pop("validation_fraction", 0.1)
    return Config(corpus=CorpusConfig(validation_fraction=fraction), train=TrainConfig(**sizes))


def refusal(text):
    with pytest.raises(CorpusError) as caught:
        load_corpus(text)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_file_is_loaded_under_the_name_it_was_given(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfone\r\ntw\xc3\xb6")
    loaded = load_corpus("./t.txt")
    assert loaded.name == "./t.txt"
    assert loaded.path == tmp_path / "t.txt"
    assert loaded.text == "one\ntwö"


def test_the_hash_is_of_the_text_whatever_its_line_endings_were(tmp_path):
    (tmp_path / "unix.txt").write_bytes("one\ntwö\n".encode())
    (tmp_path / "dos.txt").write_bytes("\ufeffone\r\ntwö\r\n".encode())
    expected = hashlib.sha256("one\ntwö\n".encode()).hexdigest()
    assert load_corpus("unix.txt").sha256 == load_corpus("dos.txt").sha256 == expected


def test_the_home_directory_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.txt").write_text("text")
    assert load_corpus("~/t.txt").path == tmp_path / "t.txt"


def test_a_built_in_name_wins_over_a_file_and_a_path_forces_the_file(tmp_path, monkeypatch):
    (tmp_path / "hamlet").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hamlet.txt").write_text("theirs")
    sha256 = hashlib.sha256(b"theirs").hexdigest()
    monkeypatch.setitem(BUILT_IN, "hamlet", BUILT_IN["hamlet"]._replace(sha256=sha256))
    assert load_corpus("hamlet").text == "theirs"
    assert load_corpus("./hamlet").text == "mine"


@pytest.mark.parametrize("typo", ["shakespear", "Shakespeare", "shakespaere"])
def test_a_name_that_is_nearly_built_in_is_answered_with_it(typo):
    assert "did you mean 'shakespeare'?" in refusal(typo)


def test_a_missing_file_is_answered_with_what_there_is():
    assert refusal("books/moby.txt").endswith(
        "take one of shakespeare, shakespeare-all, hamlet, tinyshakespeare"
    )


@pytest.mark.parametrize("text", ["", ".", "a\0b", "a\nb", "x" * 5000, "~nobody-here/t.txt"])
def test_what_can_be_no_file_is_refused_in_one_line(text):
    refusal(text)


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    (tmp_path / "t.txt").symlink_to("gone.txt")
    assert "there is no file t.txt" in refusal("t.txt")


@pytest.mark.parametrize("length", [0, 1, 2, 9, 10, 11, 1_115_394])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_the_parts_make_up_the_whole_and_are_as_large_as_asked(length, fraction):
    training, held_out = split_lengths(length, fraction)
    assert training + held_out == length
    assert abs(held_out - length * fraction) < 1


def test_a_whole_number_of_characters_is_never_lost_to_rounding():
    for tenth in range(10):
        assert split_lengths(1000, tenth / 10) == (1000 - 100 * tenth, 100 * tenth)


def test_tiny_shakespeare_is_divided_as_in_published_numbers():
    assert split_lengths(1_115_394, 0.1) == (1_003_854, 111_540)


def test_the_end_is_held_out_and_nothing_is_copied():
    ids = np.arange(10, dtype=np.uint8)
    training, held_out = split_corpus(ids, 0.2)
    assert training.tolist() == [*range(8)]
    assert held_out.tolist() == [8, 9]
    assert np.shares_memory(ids, training)
    assert np.shares_memory(ids, held_out)


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        ({"batch_size": 4, "seq_len": 5}, 4 * 6 + 1),
        ({"batch_size": 1, "seq_len": 1}, 3),
        ({"batch_size": 4, "seq_len": 5, "stateful": False}, 6),
    ],
)
def test_the_least_that_a_batch_needs_is_enough_and_one_less_is_not(sizes, least):
    sizes["validation_fraction"] = 0.0
    check_lengths(corpus(least), config(**sizes))
    with pytest.raises(CorpusError, match=f"needs {least} to train on"):
        check_lengths(corpus(least - 1), config(**sizes))


def test_a_text_too_short_is_refused_with_the_numbers_and_what_would_fit():
    with pytest.raises(CorpusError) as caught:
        check_lengths(corpus(100), config(batch_size=32, seq_len=32))
    assert str(caught.value) == (
        "t.txt has 100 characters, 90 to train on and 10 held out; batch_size = 32 with seq_len = 32 needs 1,057 "
        "to train on: try batch_size = 2 or seq_len = 1 or a longer text"
    )


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("length", [4, 10, 100, 1000])
@pytest.mark.parametrize(("batch_size", "seq_len"), [(32, 32), (1000, 1000), (2, 5000), (5000, 2)])
def test_every_proposal_fits(length, batch_size, seq_len, stateful):
    asked = {"batch_size": batch_size, "seq_len": seq_len, "stateful": stateful, "validation_fraction": 0.0}
    with_batch_of = "batch_size = (\\d+)( with seq_len = (\\d+))?|seq_len = (\\d+)"
    try:
        check_lengths(corpus(length), config(**asked))
    except CorpusError as error:
        proposals = list(re.finditer(with_batch_of, str(error).split("try ")[1]))
        assert proposals
        for proposal in proposals:
            batch, _, both, alone = proposal.groups()
            fitting = {"batch_size": int(batch or batch_size), "seq_len": int(both or alone or seq_len)}
            check_lengths(corpus(length), config(**{**asked, **fitting}))
            larger = {"batch_size": fitting["batch_size"] + bool(batch and not both)}
            larger["seq_len"] = fitting["seq_len"] + bool(both or alone)
            with pytest.raises(CorpusError):
                check_lengths(corpus(length), config(**{**asked, **larger}))
    else:
        assert length > seq_len  # long enough after all


def test_held_out_text_needs_two_characters_or_none_at_all():
    sizes = {"batch_size": 1, "seq_len": 1}
    check_lengths(corpus(20), config(**sizes))
    check_lengths(corpus(10), config(**sizes, validation_fraction=0.0))
    with pytest.raises(CorpusError, match="9 to train on and 1 held out; held-out text needs 2"):
        check_lengths(corpus(10), config(**sizes))


@pytest.mark.parametrize("name", ["shakespeare", "hamlet"])
def test_the_plays_have_the_form_of_tiny_shakespeare(name, pytestconfig, monkeypatch):
    monkeypatch.chdir(pytestconfig.rootpath)
    if not (data_folder() / BUILT_IN[name].file).exists():
        pytest.skip(f"the corpus {name} has not been fetched")
    text = load_corpus(name).text
    assert set(text) <= set("\n !&',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    assert text.endswith("\n")
    for speech in text.removesuffix("\n").split("\n\n"):
        speaker, *lines = speech.split("\n")
        assert re.fullmatch(r"[A-Z][A-Za-z &-]*:", speaker)
        assert lines
        assert all(lines)
        assert all(line == line.strip() for line in lines)


# The text of a run, wherever it is now.


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with three texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a.txt", "b.txt", "data/c.txt"):
        (tmp_path / name).write_text(f"the text of {name}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["a.txt", "b.txt", "data/c.txt"])
def test_a_text_is_found_by_its_hash_where_it_may_be_or_in_the_data_folder(moved: Path, name: str) -> None:
    wanted = load_corpus(name)
    found = find_corpus(["a.txt", "b.txt"], wanted.sha256)
    assert (found.text, found.path) == (wanted.text, moved / name)


def test_a_text_that_has_changed_or_is_gone_is_told(moved: Path) -> None:
    with pytest.raises(CorpusError, match=r"a\.txt is not the text that the run began with"):
        find_corpus(["a.txt", "nowhere.txt"], "0" * 64)
    with pytest.raises(CorpusError, match=r"no file nowhere\.txt"):
        find_corpus(["nowhere.txt", "neither.txt"], "0" * 64)
    assert moved.exists()


def test_as_bytes_any_file_is_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = b"\xef\xbb\xbfa\r\n\0\xff\xfe"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "image.png").write_bytes(data)
    loaded = load_corpus("data/image.png", tokens="bytes")
    assert (loaded.text, loaded.tokens, loaded.sha256) == (data, "bytes", hashlib.sha256(data).hexdigest())
    found = find_corpus(["gone.png"], loaded.sha256, tokens="bytes")
    assert (found.text, found.path) == (data, tmp_path / "data" / "image.png")
    (tmp_path / "short").write_bytes(b"\0")
    with pytest.raises(CorpusError, match=r"^short has only 1 byte"):
        load_corpus("short", tokens="bytes")
    with pytest.raises(CorpusError, match=r"^short has 10 bytes, 9 to train on"):
        check_lengths(
            loaded._replace(name="short", text=bytes(10)), Config(corpus=CorpusConfig(tokens="bytes"))
        )
