"""The files of a corpus, their order, and the separators between them."""

import errno
import os
import threading
from pathlib import Path

import pytest

from jaxrnn.config import Texts
from jaxrnn.data.sources import RESIDENT_BYTES, read_source
from jaxrnn.errors import CorpusError

from .conftest import Put, find, load, text_of


def refusal(names: Texts) -> str:
    with pytest.raises(CorpusError) as caught:
        find(names)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_folder_means_its_files_by_path_without_hidden_ones_and_the_token_cache(put: Put) -> None:
    for name in ("b.txt", "a/z.txt", "a/a/y", "a.txt", ".hidden", "a/.git/c.txt", "é.txt"):
        put(f"data/{name}", name)
    put("data/tokens/known/x.json", "{}")
    os.mkfifo("data/pipe")
    Path("data/nowhere").symlink_to("gone")
    Path("data/again").symlink_to("a")  # a link to a folder could be a cycle
    Path("data/round").symlink_to("round")
    source = find("data/")
    names = ["data/a/a/y", "data/a/z.txt", "data/a.txt", "data/b.txt", "data/é.txt"]
    assert [file.name for file in source.files] == names
    assert source.path == Path("data").absolute()
    assert source.size == sum(len(name.removeprefix("data/").encode()) for name in names)
    assert text_of(load("data").tokens) == "".join(name.removeprefix("data/") for name in names)


@pytest.mark.parametrize("name", ["data/../data", "link"])
def test_the_token_cache_is_left_out_under_any_name(put: Put, name: str) -> None:
    put("data/a.txt", "fine")
    put("data/tokens/known/x.json", "{}")
    Path("link").symlink_to("data")
    assert [file.name for file in find(name).files] == [f"{name}/a.txt"]


def test_runs_are_left_out_of_a_folder_and_other_records_are_not(put: Put) -> None:
    put("all/a.txt", "fine")
    put("all/checkpoints/tiny/run.json", '{\n  "kind": "jaxrnn run"\n}')
    put("all/checkpoints/tiny/samples.txt", "ours")
    put("all/marathon/run.json", '{"kind": "race"}')
    Path("all/odd").mkdir()
    os.mkfifo("all/odd/run.json")
    assert [file.name for file in find("all").files] == ["all/a.txt", "all/marathon/run.json"]
    put("runs/tiny/run.json", '"kind": "jaxrnn run"')
    assert "runs is a folder without files (hidden ones and runs do not count)" in refusal("runs")


def test_a_list_keeps_its_order_and_may_hold_folders(put: Put) -> None:
    for name in ("b.txt", "a.txt", "more/x"):
        put(name, name)
    corpus = load(("b.txt", "more", "a.txt"))
    assert text_of(corpus.tokens) == "b.txtmore/xa.txt"
    assert corpus.name == "b.txt, more, a.txt"
    assert corpus.path == tuple(Path(name).absolute() for name in ("b.txt", "more", "a.txt"))
    assert find(("a.txt",) * 5).name == "a.txt, a.txt, a.txt and 2 more"


def test_files_are_joined_with_missing_separators_added(put: Put) -> None:
    put("u/a", "one")
    put("u/b", "\r")  # a line end only if the file ends here
    assert text_of(load("u", separator="|").tokens) == "one|\n"
    for name, text in {"a": "one\r\n", "b": "\ufefftwo", "c": "", "d": "\ufeff", "e": "three"}.items():
        put(f"t/{name}", text)
    assert text_of(load("t").tokens) == "one\ntwothree"
    assert text_of(load("t", separator="\n").tokens) == "one\ntwo\nthree"
    joined = text_of(load("t", separator="\n", tokens="bytes").tokens)
    assert joined == b"one\r\n\xef\xbb\xbftwo\n\xef\xbb\xbf\nthree"


def test_an_error_in_one_of_many_files_names_it(put: Put) -> None:
    put("t/a.txt", "fine")
    put("t/b.txt", b"caf\xe9!")
    with pytest.raises(CorpusError, match=r"t/b\.txt is not UTF-8: bad byte 0xe9 at offset 3"):
        load("t")
    assert text_of(load("t", tokens="bytes").tokens) == b"finecaf\xe9!"


def test_a_file_that_grows_while_it_is_read_is_refused(put: Put) -> None:
    source = find(str(put("t.txt", "text")))
    grown = source._replace(files=(source.files[0]._replace(size=3),))
    with pytest.raises(CorpusError, match="was changed while it was read"):
        list(read_source(grown))


@pytest.mark.parametrize("typo", ["shakespear", "Shakespeare", "shakespaere"])
def test_a_misspelled_built_in_name_is_suggested(typo: str) -> None:
    assert refusal(typo).endswith("; did you mean shakespeare?")


def test_an_invalid_corpus_is_refused_in_one_line(put: Put, tmp_path: Path) -> None:
    put("a.txt", "fine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "t.txt").symlink_to("gone.txt")
    assert "empty is a folder without files" in refusal("empty")
    assert "there is no file b.txt" in refusal(("a.txt", "b.txt"))
    assert "there is no file t.txt" in refusal("t.txt")
    assert refusal("books/moby.txt").endswith(
        "take one of shakespeare, shakespeare-all, hamlet, tinyshakespeare"
    )
    assert "/dev/zero is not a regular file" in refusal("/dev/zero")
    assert "there is no file *.tex" in refusal("*.tex")
    for name in ("a\nb", "x" * 5000, "~nobody-here/t.txt"):
        refusal(name)


def test_a_pattern_stands_for_the_files_that_match(put: Put) -> None:
    for name in ("t/b.txt", "t/a.txt", "t/more/c.txt", "t/d.md", "t/.e.txt"):
        put(name, name)
    Path("t/folder.txt").mkdir()
    assert [file.path.name for file in find("t/*.txt").files] == ["a.txt", "b.txt"]
    assert [file.path.name for file in find("t/**/[bc].txt").files] == ["b.txt", "c.txt"]
    put("t/[x].txt", "itself")
    assert [file.path.name for file in find("t/[x].txt").files] == ["[x].txt"]


@pytest.mark.parametrize("name", ["-", "pipe"])
def test_a_pipe_is_read_once_and_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "naïve text\r\n" * 9
    monkeypatch.setenv("JAXRNN_TOKENS", "cache")
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=[content.encode()])
    writer.start()
    stdin = os.dup(0)
    if name == "-":
        pipe = os.open("pipe", os.O_RDONLY)
        os.dup2(pipe, 0)
        os.close(pipe)
    try:
        corpus = load(name)
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        writer.join()
    assert corpus.name == {"-": "standard input"}.get(name, name)
    assert text_of(corpus.tokens) == content.replace("\r\n", "\n")
    assert isinstance(corpus.path, Path)
    assert corpus.path.read_bytes() == content.encode()
    assert [path.name for path in Path("cache/piped").iterdir()] == [corpus.path.name]
    assert load(str(corpus.path)).sha256 == corpus.sha256


def test_the_home_directory_may_be_written_as_a_tilde(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("t.txt", "text")
    monkeypatch.setenv("HOME", str(path.parent))
    assert find("~/t.txt").path == path


def test_an_unreadable_file_of_a_folder_is_refused(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("t/a.txt", "fine")
    put("t/b.txt", "hidden")
    look = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.name == "b.txt":  # as in a folder with list permission only
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return look(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert "t/b.txt (Permission denied): check its permissions" in refusal("t")


@pytest.mark.parametrize(
    ("streamed", "of_small", "of_large"), [("auto", 0, 1), ("always", 1, 1), ("never", 0, 0)]
)
def test_auto_streams_corpora_above_the_limit(
    put: Put, streamed: str, of_small: bool, of_large: bool
) -> None:
    source = find(str(put("a.txt", "fine")), streamed=streamed)
    file = source.files[0]
    small, large = (source._replace(files=(file._replace(size=RESIDENT_BYTES + more),)) for more in (0, 1))
    assert (small.is_streamed, large.is_streamed) == (of_small, of_large)
