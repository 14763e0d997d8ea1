"""Which files a text is made of, and in which order."""

import errno
import os
from pathlib import Path

import pytest

from jaxrnn.data.corpus import load_corpus, read_corpus
from jaxrnn.data.sources import RESIDENT_BYTES, find_source, is_streamed
from jaxrnn.errors import CorpusError

from .conftest import Put


def refusal(names: str | tuple[str, ...]) -> str:
    with pytest.raises(CorpusError) as caught:
        find_source(names)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_folder_is_its_files_by_path_without_hidden_ones_and_what_is_kept_there(put: Put) -> None:
    for name in ("b.txt", "a/z.txt", "a/a/y", "a.txt", ".hidden", "a/.git/c.txt", "é.txt"):
        put(f"data/{name}", name)
    put("data/tokens/known/x.json", "{}")
    os.mkfifo("data/pipe")
    Path("data/nowhere").symlink_to("gone")
    Path("data/again").symlink_to("a")  # a link to a folder could lead round in a circle
    source = find_source("data/")
    names = ["data/a/a/y", "data/a/z.txt", "data/a.txt", "data/b.txt", "data/é.txt"]
    assert [file.name for file in source.files] == names
    assert source.path == Path("data").absolute()
    assert source.size == sum(len(name.removeprefix("data/").encode()) for name in names)
    assert load_corpus("data").text == "".join(name.removeprefix("data/") for name in names)


@pytest.mark.parametrize("name", ["data/../data", "link"])
def test_what_is_kept_in_a_folder_is_left_out_whatever_the_folder_is_called(put: Put, name: str) -> None:
    put("data/a.txt", "fine")
    put("data/tokens/known/x.json", "{}")
    Path("link").symlink_to("data")
    assert [file.name for file in find_source(name).files] == [f"{name}/a.txt"]


def test_a_list_keeps_its_order_and_may_hold_folders(put: Put) -> None:
    for name in ("b.txt", "a.txt", "more/x"):
        put(name, name)
    corpus = load_corpus(("b.txt", "more", "a.txt"))
    assert corpus.text == "b.txtmore/xa.txt"
    assert corpus.name == "b.txt, more, a.txt"
    assert corpus.path == tuple(Path(name).absolute() for name in ("b.txt", "more", "a.txt"))
    assert find_source(("a.txt",) * 5).name == "a.txt, a.txt, a.txt and 2 more"


def test_files_are_joined_as_they_are_or_by_a_separator_where_one_is_missing(put: Put) -> None:
    for name, text in {"a": "one\r\n", "b": "\ufefftwo", "c": "", "d": "\ufeff", "e": "three"}.items():
        put(f"t/{name}", text)
    source = find_source("t")
    assert read_corpus(source).text == "one\ntwothree"
    assert read_corpus(source, separator="\n").text == "one\ntwo\nthree"
    assert read_corpus(source, "bytes", "\n").text == b"one\r\n\xef\xbb\xbftwo\n\xef\xbb\xbf\nthree"


def test_what_is_wrong_with_one_file_of_many_names_it(put: Put) -> None:
    put("t/a.txt", "fine")
    put("t/b.txt", b"caf\xe9!")
    with pytest.raises(CorpusError, match=r"t/b\.txt is not UTF-8: bad byte 0xe9 at offset 3"):
        load_corpus("t")
    assert load_corpus("t", tokens="bytes").text == b"finecaf\xe9!"


def test_what_can_be_no_text_is_refused_in_one_line(put: Put, tmp_path: Path) -> None:
    put("a.txt", "fine")
    (tmp_path / "empty").mkdir()
    assert "empty is a folder without files" in refusal("empty")
    assert "there is no file b.txt" in refusal(("a.txt", "b.txt"))
    assert "no text is given" in refusal(("a.txt", ""))
    os.mkfifo("pipe")
    assert "pipe is not a regular file" in refusal("pipe")
    refusal(("a\0b", "x" * 5000))


def test_a_file_of_a_folder_that_cannot_be_looked_at_is_refused(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("t/a.txt", "fine")
    put("t/b.txt", "hidden")
    (put("t/c.txt", "gone").parent / "round").symlink_to("round")
    look = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "b.txt":  # as in a folder that may be listed and no more
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return look(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert "t/b.txt (Permission denied): check its permissions" in refusal("t")


def test_auto_streams_what_is_larger_than_it_says(put: Put) -> None:
    source = find_source(str(put("a.txt", "fine")))
    large = source._replace(size=RESIDENT_BYTES + 1)
    streamed = [
        (which, is_streamed(which, source), is_streamed(which, large))
        for which in ("auto", "always", "never")
    ]
    assert streamed == [("auto", False, True), ("always", True, True), ("never", False, False)]
    assert not is_streamed("auto", source._replace(size=RESIDENT_BYTES))
