"""Atomic writes of files and folders, and deletions that do not follow links."""

import errno
import os
import sys
from pathlib import Path

import pytest

from jaxrnn import disk
from jaxrnn.disk import append_text, cut, require_space
from jaxrnn.errors import SaveError


def test_a_text_replaces_the_old_one_without_leftovers(tmp_path):
    disk.write_text(tmp_path / "a.txt", "old\r\n")
    disk.write_text(tmp_path / "a.txt", "né\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "né\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_keeps_the_old_text(tmp_path):
    disk.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        disk.write_text(tmp_path / "a.txt", "new \ud800")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_text_is_appended_unchanged(tmp_path):
    (tmp_path / "a.txt").touch()
    for text in ("one\n", "é\r\n"):
        disk.append_text(tmp_path / "a.txt", text)
    assert (tmp_path / "a.txt").read_bytes() == "one\né\r\n".encode()


@pytest.fixture
def folders(tmp_path):
    """Two folders, `new` and `place`, with a file each."""
    for name in ("new", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    return tmp_path


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("is_there", [False, True], ids=["nothing", "an empty folder"])
def test_a_folder_is_put_at_a_free_path(folders, is_there):
    disk.remove_tree(folders / "place")
    if is_there:
        (folders / "place").mkdir()
    disk.put_in_place(folders / "new", folders / "place")
    assert names_in(folders) == ["place", "place/new"]


def test_a_folder_does_not_replace_another_without_replace(folders):
    with pytest.raises(OSError, match="not empty"):
        disk.put_in_place(folders / "new", folders / "place")
    assert (folders / "place" / "place").exists()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_exchanged_with_the_one_it_replaces(folders, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(disk.ctypes, "CDLL", lambda _: None)
    elif sys.platform == "linux":
        monkeypatch.setattr(
            Path, "rename", None
        )  # the names are exchanged atomically, so the path always exists
    disk.put_in_place(folders / "new", folders / "place", replace=True)
    assert names_in(folders) == ["new", "new/place", "place", "place/new"]


def test_the_old_folder_is_restored_if_the_new_one_can_not_replace_it(folders):
    with pytest.raises(FileNotFoundError):
        disk.put_in_place(folders / "missing", folders / "place", replace=True)
    assert names_in(folders) == ["new", "new/new", "place", "place/place"]


def test_removing_a_tree_does_not_follow_links(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    for name in ("tree", "link", "never was"):
        disk.remove_tree(tmp_path / name)
    assert names_in(tmp_path) == ["outside", "outside/precious"]


def test_available_space_is_reserved_and_freed(tmp_path):
    disk.reserve(tmp_path / "space", 1000)
    assert list(tmp_path.iterdir()) == []


def test_missing_space_is_refused_and_nothing_reserved(tmp_path):
    with pytest.raises(OSError, match=r"No space left|too large"):
        disk.reserve(tmp_path / "space", 2**62)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "path"), "No such file or directory"),
        (OSError("too slow"), "too slow"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (ValueError("two\nlines"), "two lines"),
        (ValueError("Error writing x: [OS error 28: ENOSPC No space]"), "No space left on device"),
        (
            ValueError("UNKNOWN: Error writing x [tensorstore_spec='{}'] [os_error_code='28']"),
            "No space left on device",
        ),
    ],
)
def test_a_reason_does_not_repeat_the_path(error: Exception, words: str) -> None:
    assert disk.reason(error) == words


# Logs.


def test_an_incomplete_append_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_text("first\n")
    write = os.write

    def write_half(handle: int, data: bytes) -> int:
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "full")
        return write(handle, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(OSError, match="full"):
        append_text(path, "second\n")
    assert path.read_text() == "first\n"


def test_a_file_is_truncated_and_never_extended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first\nsecond\n")
    cut(path, 6)
    cut(path, 100)
    assert path.read_text() == "first\n"


def test_a_symbolic_link_is_neither_appended_to_nor_truncated(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / "log").symlink_to(tmp_path / "precious")
    for write in (lambda path: append_text(path, "x"), lambda path: cut(path, 0)):
        with pytest.raises(OSError, match="symbolic link"):
            write(tmp_path / "log")
    assert (tmp_path / "precious").read_text() == "gold"


def test_a_failed_write_is_one_line_with_its_path() -> None:
    with pytest.raises(SaveError, match="x: can't be written: Permission denied"), disk.writing(Path("x")):
        raise PermissionError(13, "Permission denied", "secret/path")


def test_missing_disk_space_is_an_error(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(OSError, match="are needed"):
        require_space(tmp_path, 10**18)
